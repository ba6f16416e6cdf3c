"""What the calls from Python take, and what they refuse in a line: words, numbers and points."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import sgdtheory
from sgdtheory.errors import UserError
from sgdtheory.landscapes.network import Network
from sgdtheory.notebook.joined import Joined
from sgdtheory.notebook.numbers import numbers_of
from sgdtheory.notebook.points import cloud_of
from sgdtheory.rng import stream

DRAWS = stream(0, "calls")
X, Y = torch.randn(24, 3, generator=DRAWS), torch.arange(24) % 2
LAYERS = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


@pytest.fixture(scope="module")
def landscape() -> Network:
    return sgdtheory.landscape(LAYERS, (X, Y))


ELSEWHERE = {
    "landscape.weight_decay=5": "sgdtheory.landscape",
    "landscape=quadratic": "sgdtheory.landscape",
    "+data@model=digits": "sgdtheory.landscape",
    "model=mlp": "sgdtheory.landscape",
    "data.limit=10": "sgdtheory.landscape",
    "loss=huber": "sgdtheory.landscape",
    "device=cuda": "device=",
    "minima=x": "points",
    "checkpoint.prefix=q": "points",
    "at=[0.5]": "points",
    "run.dir=zzz": "run=",
    "executor=slurm": "in this process",
    "++executor.workers=2": "in this process",
    "experiment=draxler": "one by one",
}


@pytest.mark.parametrize("word", ELSEWHERE)
@pytest.mark.parametrize("is_kept", [False, True])
def test_words_that_are_not_obeyed_are_refused(
    landscape: Network, tmp_path: Path, word: str, is_kept: bool
) -> None:
    run = tmp_path / "own" if is_kept else None
    with pytest.raises(UserError) as refused:
        sgdtheory.diagnose(landscape, LAYERS, words=[word], run=run)
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"words: {word}: ") and ELSEWHERE[word] in line
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["+foo=3"], "Diagnose has no parameter 'foo'"),
        (["threads=none"], "threads: must be a valid integer"),
        (["diagnostic=[spectrum]"], "diagnostics= is given too"),
        (["seed=1", 3], "words: 3 is no text"),
    ],
)
def test_words_that_nothing_reads_are_refused(
    landscape: Network, words: list[str], why: str
) -> None:
    with pytest.raises(UserError, match=why):
        sgdtheory.diagnose(landscape, LAYERS, ["noise"], words)


def test_a_key_is_given_once(landscape: Network) -> None:
    with pytest.raises(UserError, match="batch_sizes= is given too"):
        sgdtheory.sweep_temperature(landscape, LAYERS, 0.1, 4, "sweep.batch_size=[3]")
    with pytest.raises(UserError, match="learning_rates= is given too, and the two are one"):
        sgdtheory.sweep_temperature(landscape, LAYERS, 0.1, 4, "sweep={learning_rate:[0.3]}")
    with pytest.raises(UserError, match="is no number; give a finite one"):
        sgdtheory.sweep_temperature(landscape, LAYERS, 10**400, 4)
    with pytest.raises(UserError, match="steps= is given too"):
        sgdtheory.sweep_temperature(landscape, LAYERS, 0.1, 4, ["steps=200", "sgd.steps=300"])


NUMBERS = {
    "one": (0.5, [0.5]),
    "one of numpy": (np.float64(0.5), [0.5]),
    "one in a tensor": (torch.tensor(0.5), [0.5]),
    "integers of numpy": ([np.int64(4), np.int64(8)], [4, 8]),
    "array": (np.logspace(-2, -1, 2), [0.01, 0.1]),
    "list of tensors": ([torch.tensor(4), torch.tensor(0.5)], [4, 0.5]),
    "tensor": (torch.tensor([0.5, 0.25], requires_grad=True), [0.5, 0.25]),
    "range": (range(4, 6), [4, 5]),
    "generator": ((number for number in (1, 2)), [1, 2]),
}


@pytest.mark.parametrize("given", NUMBERS)
def test_numbers_of_any_kind(given: str) -> None:
    found = numbers_of(NUMBERS[given][0], "t")
    assert found == NUMBERS[given][1] and {type(number) for number in found} <= {int, float}


@pytest.mark.parametrize("given", ["0.5", ["0.5"], [True], [[0.5]], [], None, [float("nan")], 1j])
def test_what_is_no_number(given: object) -> None:
    with pytest.raises(UserError, match=r"^t: "):
        numbers_of(given, "t")


def test_rates_and_sizes_of_numpy_reach_the_grid() -> None:
    own = sgdtheory.landscape(nn.Linear(3, 2), (X, Y))
    few = ["precision=0.9", "replicas=2", "steps=100", "estimator=[excess_loss]"]
    rates, sizes = np.logspace(-2, -1.5, 2), torch.tensor([4.0])
    swept = sgdtheory.sweep_temperature(own, torch.zeros(8), rates, sizes, few)
    assert swept.table["learning_rate"].to_list() == rates.tolist()
    assert swept.table["batch_size"].to_list() == [4, 4]


@pytest.mark.parametrize(("rates", "sizes"), [([0.1, 0], 4), (0.1, [4.5]), ("auto", 4)])
def test_what_is_no_rate_and_no_size(rates: object, sizes: object, landscape: Network) -> None:
    with pytest.raises(UserError, match=r"^(learning_rates|sweep.batch_size\[0\]): "):
        sgdtheory.sweep_temperature(landscape, LAYERS, rates, sizes)  # type: ignore[arg-type]


def test_one_point_alone_is_a_list_of_one(landscape: Network) -> None:
    theta = landscape.vector(LAYERS)
    alone = [LAYERS, LAYERS.state_dict(), theta, theta.numpy(), [LAYERS], theta[None]]
    for given in [*alone, [theta[None]], nn.ModuleList([LAYERS]), (one for one in (theta,))]:
        assert torch.equal(cloud_of(landscape, given), theta[None])


@pytest.mark.parametrize("given", [[], torch.zeros(0, 34), None, 3.0, "x", {"a": LAYERS}])
def test_what_is_no_point(landscape: Network, given: object) -> None:
    with pytest.raises(UserError, match=r"point|state dict"):
        sgdtheory.diagnose(landscape, given)  # type: ignore[arg-type]


def test_what_is_no_landscape() -> None:
    with pytest.raises(UserError, match="landscape: a Sequential is none"):
        sgdtheory.connect(LAYERS, LAYERS, LAYERS)  # type: ignore[arg-type]


class Faulty:
    """A data set whose items cannot be had."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> object:
        raise KeyError(index)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"device": "gpu"}, "device: 'gpu' is not one of auto, cpu"),
        ({"device": "cuda:99"}, "device: there is no cuda:99 here"),
        ({"loss": None}, "loss=None: give a name"),
        ({"loss": "custom"}, "loss='custom': give a name"),
        ({"weight_decay": "0.1"}, "weight_decay: '0.1' is no number"),
        ({"weight_decay": -1}, "weight_decay=-1: give a number"),
        ({"parameters": 3}, "parameters: 3 is no text"),
        ({"train": {"x": X, "y": Y}}, "train: give \\(inputs, targets\\)"),
        ({"train": Faulty()}, "train: number 0 cannot be had \\(KeyError: 0\\)"),
        ({"test": (1.0, 2)}, "test: .*one number is no list"),
    ],
)
def test_what_no_landscape_is_made_of(given: dict[str, object], why: str) -> None:
    with pytest.raises(UserError, match=why):
        sgdtheory.landscape(LAYERS, **{"train": (X, Y), **given})  # type: ignore[arg-type]


def test_a_penalty_of_numpy_is_a_number() -> None:
    own = sgdtheory.landscape(LAYERS, (X, Y), weight_decay=np.float64(0.5))  # type: ignore[arg-type]
    assert type(own.weight_decay) is float


PATH = Joined(torch.tensor([[0.0, 0.0], [4.0, 0.0]]), {}, "", "")


@pytest.mark.parametrize(
    "t", [0.25, [0.25], np.array([0.25]), torch.tensor(0.25), (n / 4 for n in (1,))]
)
def test_points_of_a_path_at_any_numbers(t: float) -> None:
    assert PATH.points(t).tolist() == [[1.0, 0.0]]


def test_rounding_is_not_outside_of_a_path() -> None:
    ends = PATH.points(torch.linspace(0, 1, 7) * 1.0000001)  # one step of float32 beyond
    assert ends[-1].tolist() == [4.0, 0.0]


@pytest.mark.parametrize("t", [-0.1, [0.5, 2], float("nan"), [0.5, float("inf")], None, "a"])
def test_there_is_no_path_beyond_its_ends(t: float) -> None:
    with pytest.raises(UserError, match=r"^t"):
        PATH.points(t)


def under_inference(call: Callable[[], object]) -> object:
    with torch.inference_mode():
        return call()


def test_calls_have_gradients_wherever_they_are_made(landscape: Network) -> None:
    def found() -> Iterable[object]:
        own = sgdtheory.landscape(LAYERS, (X, Y))
        return sgdtheory.diagnose(own, LAYERS, "noise").rows()[0]

    assert under_inference(found) == found()
    drawn = under_inference(lambda: (nn.Linear(3, 2), X + 1))
    assert isinstance(drawn, tuple)
    module, inputs = drawn  # tensors that know no gradient
    own = sgdtheory.landscape(module, (inputs, Y))
    assert sgdtheory.diagnose(own, [module, module.state_dict()])["gradient_norm"].min() > 0


def test_two_equal_calls_give_equal_tables(landscape: Network, tmp_path: Path) -> None:
    runs: list[Path | None] = [None, None, tmp_path / "own", tmp_path / "own"]
    tables = [sgdtheory.diagnose(landscape, [LAYERS, LAYERS], run=run) for run in runs]
    assert all(table.equals(tables[0]) for table in tables)
    assert tables[0]["source"].to_list() == ["point 0", "point 1"]
