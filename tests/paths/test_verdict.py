"""What is said of an edge whose barrier is known badly, and of several of them."""

from functools import partial

import pytest
import torch

from sgdtheory.data.digits import digits
from sgdtheory.landscapes.network import Network
from sgdtheory.models.mlp import MLP
from sgdtheory.paths.claims import Findings
from sgdtheory.paths.verdict import too_few_for, verdict
from sgdtheory.statistics.rows import Row


@pytest.fixture(scope="module")
def landscape() -> Network:
    return Network(partial(MLP, hidden=(4,)), digits().first(200, 50))


def edge(value: float, stderr: float, straight: float, pair: tuple[int, int] = (0, 1)) -> Row:
    """A row of an edge whose lowest way is AutoNEB's path."""
    barrier = {"value": value, "stderr": stderr}
    path = {"barrier": barrier, "method": "autoneb", "test_error": None}
    line = {"value": straight, "stderr": 0.0}
    lowest = {"name": "path", "barrier": barrier}
    return {"pair": pair, "lowest_way": lowest, "straight_barrier": line, "path": path}


@pytest.mark.parametrize(
    ("value", "stderr", "straight", "words"),
    [
        (0.15, 0.13, 0.74, "cannot be said: barrier 0.15 ± 0.13"),
        (0.09, 0.14, 0.09, "cannot be said"),
        (0.001, 0.002, 0.001, "connected"),  # spawned copies: a hundredth of the constant's 2.3
        (0.002, 0.5, 0.74, "connected"),  # 0.3 % of the straight line's, whatever its error
        (0.03, 0.03, 0.74, "connected"),
        (0.30, 0.10, 0.74, "not connected"),
    ],
)
def test_a_large_error_is_no_proof(
    landscape: Network, value: float, stderr: float, straight: float, words: str
) -> None:
    """Within two standard errors of none is connected where these are less than a tenth of the
    straight line's barrier, or a fiftieth of the constant's loss."""
    row = edge(value, stderr, straight)
    why = too_few_for(row, landscape)
    said = f"cannot be said: {why}" if why else verdict(row, formula=False)
    assert said.startswith(words)
    assert not why or "more training examples would tell" in why
    subset = {**row, "all_examples": False}
    assert bool(why) == ("examples=all" in too_few_for(subset, landscape))


def test_the_edge_that_refutes_is_named(landscape: Network) -> None:
    unsure, refuted = edge(0.30, 0.20, 0.74), edge(0.10, 0.01, 0.74, (1, 2))
    minima = [{"train_loss": 0.0, "train_error": 0.0}] * 3
    found = Findings(landscape, torch.zeros(3, 1), minima, [unsure, refuted], {0, 1, 2}, False, 2)
    claim, *_ = found.claims()
    assert claim.holds is False and "highest barrier 0.100 ± 0.010 " in claim.statement
    alone = Findings(landscape, torch.zeros(3, 1), minima, [unsure], {0, 1}, False, 1)
    claim, *_ = alone.claims()
    assert claim.holds is None and claim.statement.startswith("cannot be said whether 2 minima")


def test_points_have_one_number_in_a_paragraph(landscape: Network) -> None:
    """Where one was given twice, that of the path and that of the file."""
    minima = [{"train_loss": 0.0, "train_error": 0.0}] * 2
    row = {**edge(0.10, 0.01, 0.74), "aligned": {"same_function": True}}
    for given, words in (((0, 2), "; 0 and 1 (given as 2) are the"), ((0, 1), "; 0 and 1 are the")):
        found = Findings(landscape, torch.zeros(2, 1), minima, [row], {0, 1}, False, 1, given)
        assert words in found.claims()[0].statement


@pytest.mark.parametrize(
    ("rise", "stderr", "holds"),
    [
        (0.004, 0.005, True),
        (-0.03, 0.005, True),  # better than the ends
        (0.004, 0.02, None),
        (0.015, 0.005, None),
        (0.03, 0.005, False),
    ],
)
def test_a_rise_of_the_test_error_is_judged_by_its_error(
    landscape: Network, rise: float, stderr: float, holds: bool | None
) -> None:
    row = edge(0.001, 0.002, 0.74)
    path = {**row["path"], "test_error": 0.1 + rise, "test_error_rise_stderr": stderr}
    row |= {"path": path, "curves": {"path": {"test_error": [0.1, 0.1 + rise, 0.08]}}}
    minima = [{"train_loss": 0.0, "train_error": 0.0}] * 2
    found = Findings(landscape, torch.zeros(2, 1), minima, [row], {0, 1}, False, 1)
    *_, claim = found.claims()
    assert claim.name == "test_error" and claim.holds is holds
    assert claim.measured.value == pytest.approx(rise) and claim.measured.stderr == stderr
    assert bool(claim.measured.why) == (holds is None)
