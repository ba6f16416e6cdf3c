"""What speaks against a finished cell: saddles, quartics, ratios that say nothing, few replicas."""

from dataclasses import replace
from functools import partial
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sgdtheory
from sgdtheory.data.digits import digits
from sgdtheory.errors import UserError
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.landscapes.uneven import Uneven
from sgdtheory.models.mlp import MLP
from sgdtheory.optim.descent import lbfgs
from sgdtheory.protocol import Landscape, value_and_grad
from sgdtheory.rng import stream
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured
from sgdtheory.statistics.rows import Row
from sgdtheory.temperature.cell import Cell
from sgdtheory.temperature.cell_row import describe_cell
from sgdtheory.temperature.claims import TOO_FEW, claims_of
from sgdtheory.temperature.doubts import (
    LEAST,
    above_the_minimum,
    doubt_of_minimum,
    doubt_of_parabola,
    doubt_of_rest,
)
from sgdtheory.temperature.estimators.excess_loss import ExcessLoss
from sgdtheory.temperature.measured_minimum import reference_minimum_at
from sgdtheory.temperature.minimisation import find_minimum
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from sgdtheory.temperature.slope import fall_below
from sgdtheory.temperature.trajectory import RECORDED, Trajectory, trajectory_of

EXCESS = {"excess_loss": ExcessLoss()}


def at_origin(landscape: Landscape, size: int) -> ReferenceMinimum:
    theta = torch.zeros(landscape.dim, dtype=torch.float64)
    return reference_minimum_at(landscape, theta, 0, size)


def row_of(landscape: Landscape, cell: Cell, path: Path, at: float = 0.0) -> Row:
    """What is said of a cell whose clouds start with all coordinates `at`."""
    theta = torch.full((landscape.dim,), at, dtype=torch.float64)
    ground = reference_minimum_at(landscape, theta, 0, cell.batch_size)
    folder = UnitFolder(path, Unit("cell", {}))
    trajectory = cell.measure(folder, landscape, ground, 0, torch.float64)
    return describe_cell(cell, landscape, ground, trajectory, EXCESS)


@pytest.mark.parametrize(("curvatures", "steepest"), [((-1.0,), "-1"), ((1.0, -0.1), "-0.1")])
def test_a_saddle_has_no_temperature(
    curvatures: tuple[float, ...], steepest: str, tmp_path: Path
) -> None:
    """The wells of −½u² + ¼u⁴ are ¼ deep: 2⟨L − L*⟩ is −½ where T·Tr C is 0.0025."""
    saddle = Uneven(curvatures, quartic=1.0)
    row = row_of(saddle, Cell(0.04, 4, 0.0, "iid", 16, 0.05, 4000), tmp_path)
    assert row["why"] == f"the point is a saddle (h = {steepest}): take a minimum"
    assert row["temperature"]["excess_loss"]["value"] is None and not row["harmonic"]
    assert "1 cell starts on a saddle" in claims_of([row], "a saddle")[0].statement


@pytest.mark.parametrize(("share", "is_told"), [(0.02, False), (0.04, True)])
def test_a_slope_has_no_temperature(share: float, is_told: bool, tmp_path: Path) -> None:
    """½θ² above the bottom of a bowl a descent falls by ½θ²: told from 3 % of ½T·Tr C on."""
    bowl = Quadratic((1.0,), noise=1.0)
    cell = Cell(0.04, 4, 0.0, "iid", 16, 0.05, 4000)
    excess = 0.5 * (0.04 / 8) * 1.0  # T = η/2b, Tr C = 1
    row = row_of(bowl, cell, tmp_path, at=sqrt(2 * share * excess))
    told = f"falls by {share * excess:.2g}, {share:.2g} of the excess"
    assert (told in row["why"]) == is_told
    assert (row["temperature"]["excess_loss"]["value"] is None) == is_told
    if is_told:
        statement = claims_of([row], "a slope")[0].statement
        assert "1 cell starts where a descent still falls" in statement


def test_a_kink_without_curvature_throws_no_descent_off() -> None:
    """|θ| + ½λθ² has the curvature λ but at 0: the rate that it allows throws it off."""

    def distance(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).abs().sum(-1)

    inputs, targets = torch.ones(8, 1), torch.zeros(8, 1)
    module = partial(nn.Linear, 1, 1, bias=False)
    network = sgdtheory.landscape(module, (inputs, targets), weight_decay=0.01, loss=distance)
    theta = torch.tensor([0.5], dtype=torch.float64)
    loss, gradient = value_and_grad(network, theta[None])
    fall = fall_below(network, theta, gradient[0], 1.0, 0)
    assert fall == pytest.approx(float(loss), rel=0.01) and float(loss) == pytest.approx(0.50125)


def test_lbfgs_goes_on_and_what_is_left_at_kinks_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ReLU network: L-BFGS is begun anew where it has ended, and below its kinks a descent falls
    (by 8e-6 to 1.4e-4 of six starts)."""
    monkeypatch.setattr("sgdtheory.temperature.minimisation.POLISH", 100)
    network = Network(partial(MLP, hidden=(4,)), digits(limit=30), weight_decay=0.01)
    once = lbfgs(network, network.init(1, stream(0, "init", 0)).double(), 100)
    theta = find_minimum(network, None, 0)
    losses = network.losses(torch.cat([once, theta[None]]))
    assert losses[0] - losses[1] > 1e-3
    ground = reference_minimum_at(network, theta, 0, 16)
    assert ground.fall > 1e-7
    kept = ReferenceMinimum.kept_in(ground.tensors())
    assert kept.fall == ground.fall and at_origin(Quadratic((1.0,)), 8).fall == 0


def test_what_is_as_good_as_flat_is_no_saddle() -> None:
    """A mode grows as e^(2|h|ηt): at 2|h|ηt = 1 it is told, if 5 % of the noise lie along it."""
    ground = at_origin(Quadratic((1.0, 0.5)), 8)

    def spectrum(share: float) -> ReferenceMinimum:
        return ground._replace(
            spectrum=torch.tensor([1.0, -0.01]), weights=torch.tensor([1 - share, share])
        )

    assert not doubt_of_minimum(spectrum(0.5), 49.0)
    assert "h = -0.01" in doubt_of_minimum(spectrum(0.5), 51.0)
    assert not doubt_of_minimum(spectrum(0.04), 1000.0)


def test_an_excess_that_is_negative_beyond_its_error_is_no_temperature() -> None:
    assert above_the_minimum(Measured(-0.5, 0.6)) == Measured(-0.5, 0.6)
    none = above_the_minimum(Measured(-0.5, 0.4))
    assert none.value is None and "no minimum" in none.why


def test_a_quartic_is_no_parabola(tmp_path: Path) -> None:
    """In ¼u⁴ u·L′ is 4L. With ½hu² besides, 2⟨L⟩/⟨u·L′⟩ is ½ + ½h⟨u²⟩/⟨u·L′⟩: there ⟨u·L′⟩ = T =
    0.05, and ⟨u²⟩ = 0.338·√(2T) in ρ ∝ e^(−u⁴/2T), so that it is 0.51."""
    quartic = Uneven((0.01,), quartic=1.0)
    row = row_of(quartic, Cell(0.2, 2, 0.0, "iid", 16, 0.1, 6000), tmp_path)
    assert row["stationary"] and not row["harmonic"]
    assert "leaves the harmonic range: 2⟨L−L*⟩ is 0.5" in row["why"]


def recorded(virials: np.ndarray, works: np.ndarray, heights: np.ndarray) -> Trajectory:
    """Records [S, P] of a bowl at η = 1, μ = 0, where W = ½|v|²."""
    ground = at_origin(Quadratic((1.0,)), 8)
    arrays = {name: np.ones_like(virials) for name in RECORDED}
    arrays |= {"virials": virials, "velocity_norms_squared": 2 * works, "losses": heights}
    arrays |= {"steps": np.arange(len(virials)), "early_steps": np.zeros(0), "snapshots": virials}
    sgd = Cell(1.0, 8, 0.0, "iid", virials.shape[1], 0.1, 1000).sgd
    return trajectory_of(arrays, ground, sgd, None, virials.shape[1])


def spread(mean: float, error: float, replicas: int = 32) -> np.ndarray:
    """Records [4, P] whose mean over replicas has this error, the half above it, the half below."""
    signs = np.repeat([[1.0, -1.0]], replicas // 2, 0).ravel()
    return np.tile(mean + error * sqrt(replicas) * signs, (4, 1))


@pytest.mark.parametrize(
    ("ratio", "error", "said"),
    [
        (1.0, 0.10, ""),
        (1.3, 0.10, ""),  # 0.05 + 3 errors, which are 4 % larger of 32 replicas (t)
        (0.6, 0.10, "not stationary: the fluctuation–dissipation ratio is 0.600 ± 0.0"),
        (-1.8, 4.80, "not known to be stationary: the fluctuation–dissipation ratio is -1.8 ±"),
        (1.0, 0.35, "not known to be stationary"),
    ],
)
def test_all_records_are_asked_for_rest(ratio: float, error: float, said: str) -> None:
    works = np.ones((4, 32))
    trajectory = recorded(spread(ratio, error), works, works)
    assert doubt_of_rest(trajectory).startswith(said) and bool(said) == bool(
        doubt_of_rest(trajectory)
    )
    assert not doubt_of_rest(replace(trajectory, sampling="epoch"))


def test_what_is_correlated_by_chance_is_not_known_better() -> None:
    """V and W go together: V/W is 1.4 of each replica with no error, each of them has 15 %, and
    the two apart would be off by 1.4·√2·15 % = 30 %."""
    works = spread(1.0, 0.15, replicas=8)
    assert not doubt_of_rest(recorded(1.4 * works, works, works))


def test_a_shape_that_is_not_known() -> None:
    works = np.ones((4, 32))
    assert not doubt_of_parabola(recorded(works, works, spread(0.5, 0.03)))
    assert not doubt_of_parabola(recorded(works, works, spread(0.54, 0.001)))
    told = doubt_of_parabola(recorded(works, works, spread(0.56, 0.001)))
    assert told.startswith("leaves the harmonic range: 2⟨L−L*⟩ is 1.12")
    assert "not known to be harmonic" in doubt_of_parabola(recorded(works, works, spread(0.5, 0.1)))


def judged_on_the_law(
    stderr: float, replicas: int = LEAST, factor: float = 1.0
) -> dict[str, Claim]:
    """Of six cells at a factor times the law, with relative errors."""
    cells = [
        {
            "learning_rate": rate,
            "batch_size": size,
            "momentum": 0.0,
            "sampling": "iid",
            "replicas": replicas,
            "lost": 0,
            "predicted": (law := rate / (2 * size)),
            "temperature": {
                "excess_loss": {"value": law * factor * off, "stderr": law * factor * stderr}
            },
            "stationary": True,
            "harmonic": True,
            "why": "",
            "noise_trace": 1.0,
            "noise_trace_at_minimum": 1.0,
        }
        for rate in (0.1, 0.2, 0.4)
        for size, off in ((8, 1 + stderr), (4, 1 - stderr))
    ]
    return {claim.name: claim for claim in claims_of(cells, "a bowl")}


@pytest.mark.parametrize("replicas", [LEAST - 1, LEAST])
def test_of_few_replicas_nothing_holds_or_not(replicas: int) -> None:
    """Cells on the law to half a per cent: judged from eight replicas on."""
    judged = judged_on_the_law(0.005, replicas)
    for name in ("slope", "ratio"):
        claim = judged[name]
        assert claim.holds is (True if replicas == LEAST else None)
        assert claim.measured.why == ("" if replicas == LEAST else TOO_FEW)
    does = "follows" if replicas == LEAST else "may follow"
    assert judged["slope"].statement.startswith(f"T {does} η/2b")


def test_large_errors_neither_hold_nor_refute() -> None:
    judged = judged_on_the_law(0.2, factor=1.1)
    for name in ("slope", "ratio", "scatter"):
        assert judged[name].holds is None and "raise replicas" in judged[name].measured.why
    assert judged["slope"].statement.startswith("T may follow η/2b")
    assert judged_on_the_law(0.005, factor=1.1)["ratio"].holds is False


class Product:
    """(a·b·x − y)² of examples, with weight decay: all gradients vanish at a = b = 0, where every
    start lies."""

    dim = 2

    def init(self, points: int, source: torch.Generator) -> torch.Tensor:
        return torch.zeros(points, 2)

    def sample(self, points: int, size: int, source: torch.Generator) -> torch.Tensor:
        return torch.randn(points, size, generator=source)

    def losses(self, cloud: torch.Tensor, batch: torch.Tensor | None = None) -> torch.Tensor:
        decay = 0.005 * cloud.square().sum(1)
        product = cloud[:, 0] * cloud[:, 1]
        mean = 1.0 if batch is None else batch.to(cloud).square().mean(1)
        return product.square() * mean + decay


def test_a_start_that_is_the_silent_minimum_is_refused() -> None:
    with pytest.raises(UserError, match="Product has no gradient noise at its minimum"):
        at_origin(Product(), 8)


class Well:
    """½x² − ⅓x³ with noise: a well, and a way down without an end beyond x = 1."""

    dim = 1
    device = torch.device("cpu")

    def init(self, points: int, source: torch.Generator) -> torch.Tensor:
        return torch.zeros(points, 1)

    def sample(self, points: int, size: int, source: torch.Generator) -> torch.Tensor:
        return torch.randn(points, size, generator=source)

    def losses(self, cloud: torch.Tensor, batch: torch.Tensor | None = None) -> torch.Tensor:
        x = cloud[:, 0]
        losses = x.square() / 2 - x**3 / 3
        return losses if batch is None else losses + x * batch.to(cloud).mean(1)


def test_a_cloud_that_loses_members_has_no_steady_state() -> None:
    """T = η/2b is a third of the barrier 1/6 at η = 0.1, where some leave, and a thirtieth at
    .01."""
    swept = sgdtheory.sweep_temperature(
        Well(), torch.zeros(1), [0.01, 0.1], [1], ["replicas=32", "precision=0.05"]
    )
    cold, hot = swept.cells
    assert cold["stationary"] and cold["lost"] == 0
    assert not hot["stationary"] and 0 < hot["lost"] < 32
    assert hot["why"] == f"not stationary: {hot['lost']} of 32 replicas are not finite"
    assert hot["temperature"]["excess_loss"]["value"] is None


def of_line(offset: float, dtype: str) -> Row:
    """A cell of least squares whose targets lie so far off: a parabola, on which T is the law's."""
    source = torch.Generator().manual_seed(1)
    inputs = torch.randn(200, 3, generator=source, dtype=torch.float64)
    noise = torch.randn(200, 1, generator=source, dtype=torch.float64)
    targets = inputs.sum(1, keepdim=True) + 0.1 * noise + offset
    kind = torch.float64 if dtype == "float64" else torch.float32
    landscape = sgdtheory.landscape(
        nn.Linear(3, 1), (inputs.to(kind), targets.to(kind)), loss="mse", weight_decay=0.0
    )
    words = [f"dtype={dtype}", "precision=0.05"]
    (row,) = sgdtheory.sweep_temperature(landscape, nn.Linear(3, 1), [0.01], [32], words).cells
    return row


def test_a_cloud_as_small_as_rounding_has_no_temperature() -> None:
    """At 10⁴ an ulp of the bias is 10⁻³: (10⁻³)²/12 beside η²Tr C/b = 10⁻⁴·.18/32 makes T too high
    by 15 %."""
    row = of_line(1e4, "float32")
    assert row["why"] == (
        "the rounding of parameters is 15 % of the noise of a step: take dtype=float64, or a "
        "constant off the targets or inputs"
    )
    assert not row["stationary"] and row["temperature"]["excess_loss"]["value"] is None
    for right in (of_line(1e4, "float64"), of_line(1.0, "float32")):
        assert right["stationary"] and right["harmonic"]
        found = right["temperature"]["excess_loss"]
        assert abs(found["value"] - right["predicted"]) < 4 * found["stderr"]
