"""What reshuffled epochs leave of T, where b does not divide N and with momentum."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sgdtheory
from sgdtheory.statistics.rows import Row
from sgdtheory.temperature.cell import Cell
from sgdtheory.temperature.epoch_claims import epoch_claim
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from sgdtheory.temperature.reshuffling import exact_epoch_factor


def ground_of(*curvatures: float) -> ReferenceMinimum:
    """With equal noise along each."""
    spectrum = torch.tensor(curvatures, dtype=torch.float64)
    empty = torch.zeros(0)
    weights = torch.full_like(spectrum, 1 / len(curvatures))
    return ReferenceMinimum(empty, empty, empty, empty, empty, spectrum, weights, empty, empty)


def twin(h: float, rate: float, size: int, count: int, momentum: float) -> float:
    """T/T_law of one mode from the covariance of all noises of an epoch, written out: (θ, v) at the
    epoch's start is stationary, and each step adds what it adds to the matrix."""
    steps = count // size
    step = np.array([[1 - rate * h, -rate * momentum], [h, momentum]])
    kick = np.array([-rate, 1.0])
    noise = np.full((steps, steps), -1 / (count - 1))
    np.fill_diagonal(noise, (count - size) / (size * (count - 1)))

    def added(k: int) -> np.ndarray:
        """What the first k batches make of a state that is 0 [2, 2]."""
        power = np.linalg.matrix_power
        responses = np.array([power(step, k - 1 - i) @ kick for i in range(k)]).reshape(k, 2)
        matrix: np.ndarray = responses.T @ noise[:k, :k] @ responses
        return matrix

    whole = np.linalg.matrix_power(step, steps)
    flat = np.linalg.solve(np.eye(4) - np.kron(whole, whole), added(steps).reshape(4))
    seen = []
    for k in range(steps):
        early = np.linalg.matrix_power(step, k)
        seen.append((early @ flat.reshape(2, 2) @ early.T + added(k))[0, 0])
    shrunk = h * (1 - rate * h / (2 * (1 + momentum)))
    return float(np.mean(seen)) * shrunk / (rate / (2 * size * (1 - momentum)))


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize(("size", "count"), [(30, 100), (60, 100), (8, 100), (10, 100), (7, 13)])
def test_it_is_that_of_the_covariance_written_out(size: int, count: int, momentum: float) -> None:
    """To 1e-7: two roots that meet are held 2e-4 apart, which is 1e-8 in what they make, and the
    matrices lose ε/(1 − a²) ≤ 1e-12."""
    for rate, h in ((0.01, 2.0), (0.3, 1.0), (0.003, 0.5), (0.5, 1.9)):
        exact = exact_epoch_factor(ground_of(h), rate, size, count, momentum)
        assert exact == pytest.approx(twin(h, rate, size, count, momentum), abs=1e-7)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_one_batch_an_epoch_is_a_draw_without_replacement(momentum: float) -> None:
    """(N−b)/(N−1) of every mode: batches of different epochs are independent."""
    for size in (51, 60, 99, 100):
        exact = exact_epoch_factor(ground_of(0.0, 1e-3, 1.0, 30.0), 0.1, size, 100, momentum)
        assert exact == pytest.approx((100 - size) / 99, abs=1e-7)


def test_what_is_left_out_is_white() -> None:
    """A mode slower than an epoch keeps f = (N−mb)/(N−1), and ⅓x at most of the rest, x ≤ 1e-4."""
    for size, momentum in ((30, 0.0), (12, 0.9), (1, 0.0), (100, 0.9)):
        left = (1000 - 1000 // size * size) / 999
        exact = exact_epoch_factor(ground_of(0.0, -1.0), 1e-3, size, 1000, momentum)
        assert exact == pytest.approx(left, abs=1e-4)


def test_with_momentum_many_small_steps_leave_r() -> None:
    """x = ηhN/b(1−μ): what is left of the steps is O(1/m), μ/(1−μ)² of them before θ answers."""
    for x in (0.3, 3.0, 30.0):
        steps = 1_000_000
        exact = exact_epoch_factor(ground_of(1.0), 0.1 * x / steps, 4, 4 * steps, 0.9)
        r = 1 - (2 / x) * (1 - (1 - np.exp(-x)) / x)
        assert exact == pytest.approx(r, abs=200 * x / steps)


def examples() -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    inputs = torch.randn(100, 4, generator=source)
    clean = inputs @ torch.tensor([1.0, -1.0, 0.5, 0.0])
    return inputs, (clean + 0.5 * torch.randn(100, generator=source))[:, None]


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_a_sweep_whose_batches_do_not_divide_the_examples(momentum: float) -> None:
    """b = 60 and 30 of 100, least squares: 40/99 of T is left, and 0.1 and more: it was predicted
    at .01 and .03, and the law declared refuted."""
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    landscape = sgdtheory.landscape(model, examples(), weight_decay=1e-3, loss="mse")
    choices = ["sgd.sampling=epoch", "precision=0.05", f"sgd.momentum={momentum}"]
    swept = sgdtheory.sweep_temperature(landscape, model, [0.02], [30, 60], choices)
    thirty, sixty = swept.cells
    assert sixty["predicted_epoch"] / sixty["predicted"] == pytest.approx(40 / 99, abs=1e-7)
    for cell in (thirty, sixty):
        law = cell["predicted"]
        found = cell["temperature"]["excess_loss"]
        off = found["value"] - cell["predicted_epoch"]
        # the noise away from θ* and the phases of an epoch that records see are of the rest
        assert abs(off) < 4 * found["stderr"] + 0.03 * law
    assert "of what is predicted, over" in swept.claim


def epoch_cell(ratio: float, factor: float, swelling: float, stderr: float = 0.01) -> Row:
    """A cell of law 1, of which reshuffling leaves a factor."""
    return {
        "predicted": 1.0,
        "predicted_epoch": factor,
        "temperature": {"excess_loss": {"value": ratio, "stderr": stderr * ratio}},
        "noise_trace": swelling,
        "noise_trace_at_minimum": 1.0,
        "stationary": True,
    }


@pytest.mark.parametrize(
    ("cells", "holds"),
    [
        ([epoch_cell(0.76, 0.75, 1.01)], True),
        ([epoch_cell(0.36, 0.75, 1.01)], False),
        ([epoch_cell(0.02, 0.09, 1.001)], False),  # was within .1 of the law
        ([epoch_cell(0.09, 0.001, 1.0)], False),
        ([epoch_cell(0.346, 0.273, 1.2)], None),  # noise that the minimum does not have
        ([epoch_cell(0.77, 0.75, 1.01, 0.2)], None),  # an error of a fifth
        ([epoch_cell(0.346, 0.273, 1.2), epoch_cell(0.75, 0.75, 1.0)], True),
    ],
)
def test_the_claim_of_epochs_is_of_what_is_predicted(cells: list[Row], holds: bool | None) -> None:
    claim = epoch_claim(cells)
    assert claim.holds is holds and bool(claim.measured.why) == (holds is None)


@pytest.mark.parametrize(("size", "count"), [(32, 1437), (44, 440), (64, 1437), (8, 100)])
def test_records_fall_on_all_phases_of_an_epoch(size: int, count: int) -> None:
    """The cloud is wider at some steps of an epoch: with b = 32 of 1,437 records fell on four of
    the 44, every 341st, and b = 44 of 440 would have had its first alone."""
    ground = ground_of(1.0)
    cell = Cell(0.1, size, 0.0, "epoch", 32, 0.02, 60_000)
    schedule = cell.schedule(ground, count)
    steps = schedule.thinning * torch.arange(count // size)
    assert len(set((steps % (count // size)).tolist())) == count // size
    independent = replace(cell, sampling="iid")
    apart = schedule.thinning - independent.schedule(ground, count).thinning
    assert 0 <= apart < count // size
    assert "phases" in cell.identity and "phases" not in independent.identity
