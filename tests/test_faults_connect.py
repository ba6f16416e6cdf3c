"""An edge that is killed goes on inside its search, to the same bits."""

import signal
from functools import partial
from pathlib import Path

import pytest
from safetensors.torch import save_file
from torch import nn

from sgdtheory.data.digits import digits
from sgdtheory.landscapes.network import Network
from sgdtheory.models.cnn import CNN
from sgdtheory.models.mlp import MLP
from sgdtheory.rng import stream
from tests import test_faults
from tests.forks import WORDS
from tests.test_faults import OFTEN, completes, go, killed_at_random

RING = ("connect", "landscape=ring", *WORDS)  # two seconds of work, most of it inside one edge
# 2,000 steps of a fifth of a millisecond
SOMETIMES = "import sgdtheory.runs.unit as run; run.CHECKPOINT_SECONDS = 0.2\n"
NETWORKS: dict[str, tuple[type[nn.Module], dict[str, int | tuple[int, ...]]]] = {
    "mlp": (MLP, {"hidden": (8,)}),
    "cnn": (CNN, {"width": 2, "depth": 1, "dense": 8}),  # with batch norm
}
FEW = ("data.test_share=0.9", "autoneb.steps=25", "autoneb.last_steps=40", "autoneb.retries=0")
FEWER = ("baselines.gradients=20", "baselines.dense=4", "strings.steps=200", "plane=0")
KILLED = """
import os
import sgdtheory.runs.unit as run
real, calls = run.{where}, [0]
def killed(*args):
    calls[0] += 1
    real(*args)
    if calls[0] == {number}:
        os.kill(os.getpid(), 9)
run.{where} = killed
"""


def edge_of(name: str, folder: Path) -> tuple[str, ...]:
    """The command that joins two random points of a small network, on 179 digits: they need not be
    minima."""
    model, shape = NETWORKS[name]
    landscape = Network(partial(model, **shape), digits(0.9))
    save_file({"minima": landscape.init(2, stream(0, "ends"))}, folder / f"{name}.safetensors")
    words = [
        f"model.{key}={list(value) if isinstance(value, tuple) else value}"
        for key, value in shape.items()
    ]
    return (
        "connect",
        f"model={name}",
        *words,
        f"minima=[{folder / name}.safetensors]",
        *FEW,
        *FEWER,
        *WORDS,
    )


def test_killed_inside_an_edge_it_comes_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(test_faults, "OFTEN", SOMETIMES)
    killed_at_random(tmp_path, RING, 10)


@pytest.mark.slow
def test_an_edge_of_a_network_killed_at_random(tmp_path: Path) -> None:
    killed_at_random(tmp_path, edge_of("mlp", tmp_path), 10)


@pytest.mark.parametrize(
    ("name", "more", "where", "numbers"),
    [
        (
            "mlp",
            (),
            "UnitFolder.resume",
            (2, 1),
        ),  # a cycle is done, and the next has kept nothing yet
        ("cnn", (), "UnitFolder.keep", (3, 40)),  # at a step of the first cycle, and of a later one
        pytest.param(
            "cnn", (), "UnitFolder.write_tensors", (2,), marks=pytest.mark.slow
        ),  # between two cycles
        (
            "mlp",
            ("method=string_sampling", "strings.above=0.05"),
            "UnitFolder.write_tensors",
            (1, 1),
        ),  # between two depths
    ],
)
def test_an_edge_killed_where_it_hurts(
    name: str, more: tuple[str, ...], where: str, numbers: tuple[int, ...], tmp_path: Path
) -> None:
    words = (*edge_of(name, tmp_path), *more)
    (tmp_path / "run").mkdir()
    for number in numbers:
        ended = go(
            tmp_path / "run", *words, before=OFTEN + KILLED.format(where=where, number=number)
        )
        assert ended.code == -signal.SIGKILL, ended
    completes(tmp_path / "run", words)
