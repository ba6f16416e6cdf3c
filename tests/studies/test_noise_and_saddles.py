"""Smoothing, one-point convexity and saddles: small runs from end to end, exact twins, verdicts that go either way."""

from dataclasses import replace
from functools import partial
from math import log
from typing import Any

import pytest
import torch
from scipy.stats import norm

import sgdtheory
from sgdtheory.data.digits import digits
from sgdtheory.geometry.critical_points import (
    CriticalPoint,
    LevenbergMarquardt,
    critical_point_at,
    kind_of,
)
from sgdtheory.geometry.hessian import hessian
from sgdtheory.geometry.one_point_convexity import OnePoint
from sgdtheory.geometry.units_left_out import known_index, mask_of_trained, residual_map
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.landscapes.spiky import Spiky
from sgdtheory.models.mlp import MLP
from sgdtheory.optim.descent import lbfgs
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.protocol import values
from sgdtheory.rng import stream
from sgdtheory.statistics.proportions import at_most, share
from sgdtheory.studies import one_point_convexity, saddles, smoothing
from sgdtheory.studies.convexities.claims import Losses
from sgdtheory.studies.smoothing import Smoothing
from sgdtheory.studies.smoothings.claims import SMOOTHED, claims_of
from tests.studies.asked import Command, results, verdicts

SMOOTHING = [
    "stochastic=[0.25,0.35,0.5,0.75]",
    "smoothed=[0.98,1.02]",
    "replicas=200",
    "seeds=1",
    "executor.workers=1",
    "threads=1",
]
CONVEXITY = [
    "~runs.annealed", "runs.trained.steps=300", "runs.untrained.steps=300", "snapshots=10", "seeds=2", "model.hidden=[8]",
    "one_point.points=2", "executor.workers=1", "threads=1",
]  # fmt: skip
SADDLES = [
    "hidden=2",
    "weight_decays=[0.03]",
    "snapshots=[30]",
    "sgd.steps=30",
    "search.iterations=40",
    "executor.workers=1",
    "threads=1",
]


# smoothing


def test_sgd_gets_past_the_spikes(sgdtheory: Command) -> None:
    path, found = results(sgdtheory, "smoothing", *SMOOTHING)
    assert found["claims"][0]["name"] == "sgd"
    stuck = {"sgd": True, "sgd_of_little_noise": True, "gradient_descent": True, "threshold": True}
    assert verdicts(found) == {**stuck, "where_sgd_turns_over": False}
    assert 0.3 < found["claims"][-1]["value"] < 0.5
    assert (path / "figures/arrivals.svg").exists()


def test_a_steps_noise_has_the_width_that_was_asked_for() -> None:
    """The standard deviation of 20,000 first steps from the centre, where ∇L = 0: within 5 of its own errors, s/√(2·20,000)."""
    landscape = Spiky()
    sgd = SGD(1, 4, 0.0192, Constant())
    study = Smoothing(landscape, sgd, stochastic=[0.5], smoothed=[1.0])
    width = 0.5 * landscape.threshold()
    (state,) = sgd.run(study._with_noise(width), torch.zeros(20_000, 1, dtype=torch.float64), 0)
    assert abs(float(state.cloud.std()) / width - 1) < 5 / 40_000**0.5


def counted(method: str, scale: float, arrived: int, of: int = 1000) -> dict[str, Any]:
    steps = torch.full((of,), torch.inf)
    steps[:arrived] = 7.0
    return smoothing.arrival_row(method, scale, steps, torch.ones(of), 1.25)


def test_where_sgd_turns_over_is_known_to_the_widths_beside_it() -> None:
    """None of 200 arrive at .25 s*, and all at 1.75: the middle between them is a straight line's."""
    rows = [counted("SGD", 0.25, 0, 200), counted("SGD", 1.75, 200, 200)]
    claim = claims_of(smoothing.scale_rows(rows))[4]
    assert claim.holds is None and "between 0.25 and 1.75 s*" in claim.measured.why
    near = [counted("SGD", 0.99, 0, 200), counted("SGD", 1.01, 200, 200)]
    assert claims_of(smoothing.scale_rows(near))[4].holds is True
    far = [counted("SGD", 0.35, 0, 200), counted("SGD", 0.4, 200, 200)]
    assert claims_of(smoothing.scale_rows(far))[4].holds is False


@pytest.mark.parametrize(
    ("sgd", "little", "still", "below", "above", "holds"),
    [
        (995, 5, 0, 0, 1000, [True, True, True, True]),
        (700, 300, 20, 3, 1000, [False, False, False, False]),
        (1000, 0, 0, 0, 999, [True, True, True, False]),
    ],
)
def test_the_claims_of_smoothing_can_fail(
    sgd: int, little: int, still: int, below: int, above: int, holds: list[bool]
) -> None:
    rows = [
        counted("SGD", 0.75, sgd),
        counted("SGD", 0.25, little),
        counted("gradient descent", 0.0, still),
    ]
    rows += [counted(SMOOTHED, 0.98, below), counted(SMOOTHED, 1.02, above)]
    said = claims_of(smoothing.scale_rows(rows))
    assert [claim.holds for claim in said][:4] == holds
    assert said[4].measured.value == pytest.approx(0.25 + 0.5 * (500 - little) / (sgd - little))


def test_few_replicas_refute_nothing() -> None:
    """48 of 50 are 4 % from all, with an error of 2.9 %; of 5,000 they are too few."""
    rows = [counted("SGD", 0.75, 48, 50), counted("SGD", 0.25, 2, 50)]
    rows.append(counted("gradient descent", 0.0, 0, 20))
    said = claims_of(smoothing.scale_rows(rows))[:3]
    assert [claim.holds for claim in said] == [None] * 3
    assert all("raise replicas" in claim.measured.why for claim in said)
    rows = [counted("SGD", 0.75, 4800, 5000), counted("SGD", 0.25, 200, 5000)]
    said = claims_of(smoothing.scale_rows(rows))[:2]
    assert [claim.holds for claim in said] == [False] * 2


def test_steps_that_jump_over_spikes_refute_nothing(sgdtheory: Command) -> None:
    """ηh = 1.04 at the centre, where h = 2 + 50."""
    _, found = results(sgdtheory, "smoothing", *SMOOTHING, "replicas=20", "sgd.learning_rate=0.02")
    assert set(verdicts(found).values()) == {None}
    assert found["claims"][0]["why"].startswith("ηh = 1 at the centre")


def test_too_few_steps_refute_nothing(sgdtheory: Command) -> None:
    """η·60 = 1.15 relaxation halves: e^(−2.3) of the way is left, and a bare bowl asks for .04."""
    _, found = results(sgdtheory, "smoothing", *SMOOTHING, "replicas=20", "sgd.steps=60")
    assert set(verdicts(found).values()) == {None}
    assert found["claims"][0]["why"].startswith("sgd.steps=60 are too few to reach the centre")


def test_starts_in_the_well_of_the_centre_refute_nothing(sgdtheory: Command) -> None:
    """The first spike stands half a period from the centre, 2π/20 = .31."""
    _, found = results(sgdtheory, "smoothing", *SMOOTHING, "replicas=20", "starts=[0.2,0.25]")
    assert set(verdicts(found).values()) == {None}
    assert "lies in the centre's own well" in found["claims"][0]["why"]


def test_few_replicas_do_not_say_where_all_turn_over() -> None:
    for below, above, of, holds in (
        (0, 3000, 3000, True), (0, 1, 1, None), (1, 1, 1, False), (0, 2999, 3000, False),
    ):  # fmt: skip
        ends = ((0.98, below), (1.02, above))
        rows = [counted(SMOOTHED, scale, count, of) for scale, count in ends]
        claim = claims_of(smoothing.scale_rows(rows))[3]
        assert claim.name == "threshold" and claim.holds is holds
        assert ("raise replicas" in claim.measured.why) == (holds is None)


def test_what_was_not_run_is_not_judged() -> None:
    said = claims_of(smoothing.scale_rows([counted("SGD", 0.6, 10)]))
    assert [claim.holds for claim in said] == [None] * 5


def test_shares_have_errors_even_at_none_and_all() -> None:
    for count in (0, 3, 20):
        low, high = wilson(count, 20)
        assert share(count, 20).stderr == pytest.approx((high - low) / 2)
    assert at_most(0, 500) == pytest.approx(1 - 0.05 ** (1 / 500))  # (1 − p)^500 = 5 %
    assert at_most(20, 20) == 1 and share(0, 0).value is None


def wilson(count: int, total: int) -> tuple[float, float]:
    """Where |p̂ − p| is one standard error √(p(1 − p)/total), by scipy's own interval."""
    from scipy.stats import binomtest

    found = binomtest(count, total).proportion_ci(2 * norm.cdf(1) - 1, "wilson")
    return float(found.low), float(found.high)


# one-point convexity


def test_the_gradient_points_at_the_end(sgdtheory: Command) -> None:
    path, found = results(sgdtheory, "one_point_convexity", *CONVEXITY)
    trained, untrained = found["tables"]["runs"]
    assert (trained["snapshots"], trained["ball_points"]) == (20, 40)
    assert trained["snapshots_not_positive"] == 0 and trained["other_not_positive"] > 0.5
    assert found["claims"][0]["name"] == "snapshots" and len(found["tables"]["snapshots"]) == 20
    first = found["tables"]["snapshots"][0]
    assert first["step"] == 0 and first["loss"] > 2 and first["cosine"] > 0
    assert {file.stem for file in (path / "figures").glob("*.svg")} >= {
        "directions",
        "smoothed_losses",
    }
    assert untrained["end_loss"] < 2.5


def test_products_on_a_quadratic_are_known() -> None:
    """L = ½Σh x², end 0: ⟨−∇L, 0 − x⟩ = Σh x² everywhere, in the ball too, and −Σh x² on a bowl turned upside down."""
    for sign in (1.0, -1.0):
        landscape = Drawn(sign)
        cloud = torch.randn(6, 3, generator=stream(0, "cloud"), dtype=torch.float64)
        zero = torch.zeros(3, dtype=torch.float64)
        measure = partial(OnePoint(points=50, radius=0.1).measure, landscape, cloud, zero)
        found = measure(-zero, torch.full((6,), 0.3), 4, 0)
        expected = sign * cloud.square() @ landscape.spectrum
        torch.testing.assert_close(found["product"], expected, rtol=1e-12, atol=0)
        torch.testing.assert_close(found["other"], expected, rtol=1e-12, atol=0)
        # |δ| ≤ .1 moves (x + δ)ᵀH(x + δ) by at most .2|Hx| + .01 h_max
        bound = 0.2 * (cloud * landscape.spectrum).norm(dim=1) + 0.01 * landscape.spectrum.max()
        assert ((found["ball"] - expected[:, None]).abs() <= bound[:, None]).all()
        assert found["ball"].std(1).min() > 0
        # the mean over noise of a linear gradient is the gradient at the mean kick: within 5 standard errors of 50 draws
        kick = 0.3 * (1 / 4 / 50) ** 0.5 * (cloud * landscape.spectrum).norm(dim=1)
        assert ((found["smoothed"] - expected).abs() <= 5 * kick).all() and (
            found["smoothed"] != expected
        ).all()
        # E ½(x − ηω)ᵀH(x − ηω) = L + ½η² Tr H C/b, its error from the spread of the 50 draws
        smoothed = found["smoothed_loss"]
        rise = sign * 0.5 * 0.3**2 * float(landscape.spectrum.sum()) / 4
        assert (
            (smoothed.mean(1) - found["loss"] - rise).abs() <= 5 * smoothed.std(1) / 50**0.5
        ).all()


class Drawn:
    """A bowl, upright or upside down, whose examples are 40,000 fixed tilts of unit covariance."""

    def __init__(self, sign: float) -> None:
        self.bowl, self.sign, self.dim, self.count = Quadratic((1.0, 0.5, 0.1)), sign, 3, 40_000
        self.spectrum = self.bowl.spectrum
        tilts = torch.randn(self.count, 3, generator=stream(0, "tilts"), dtype=torch.float64)
        self.tilts = tilts - tilts.mean(0)

    def init(self, points: int, stream: torch.Generator) -> torch.Tensor:
        return self.bowl.init(points, stream)

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        return self.tilts[indices].mean(1)

    def losses(self, cloud: torch.Tensor, batch: torch.Tensor | None = None) -> torch.Tensor:
        whole = self.sign * self.bowl.losses(cloud)
        return whole if batch is None else whole + (batch * cloud).sum(1)


TEN_CLASSES = Losses(log(10))


def run_row(
    name: str, bad: int, loss: float, other: int = 450, fall: float = 0.0, looks: int = 500
) -> dict[str, Any]:
    rows = [
        {
            "seed": k % 2,
            "step": k,
            "loss": 2.3 - fall * k,
            "snapshots_not": int(k < bad),
            "snapshots_of": 1,
            "ball_not": 10 * int(k < bad),
            "ball_of": 10,
        }
        | {
            "smoothed_not": int(k < bad),
            "smoothed_of": 1,
            "other_not": int(k < other),
            "other_of": 1,
        }
        for k in range(looks)
    ]
    ends = [{"run": name, "loss": loss}, {"run": name, "loss": loss}]
    return one_point_convexity.run_row(rows, ends, 2)


@pytest.mark.parametrize(
    ("bad", "loss", "other", "wild", "holds"),
    [
        (0, 0.01, 450, 90, [True, True, True, True, True]),
        (20, 0.01, 0, 10, [False, False, False, False, False]),
        (6, 0.01, 25, 25, [None] * 5),  # 1.2 % of 500 may be 1 %, and 5 % are 5 %
        (0, 1.5, 450, 90, [None, None, None, None, True]),
        (0, 1.5, 0, 90, [None, None, None, None, True]),
    ],
)
def test_the_claims_of_convexity_can_fail(
    bad: int, loss: float, other: int, wild: int, holds: list[bool | None]
) -> None:
    said = one_point_convexity.claims_of(
        [run_row("trained", bad, loss, other), run_row("untrained", wild, 1.9)], TEN_CLASSES
    )
    assert [claim.holds for claim in said] == holds
    assert all(bool(claim.measured.why) == (claim.holds is None) for claim in said)


def test_none_of_twenty_is_too_few() -> None:
    """0 of 20 may be 14 %, 95 %."""
    for looks, holds in ((20, None), (400, True)):
        row = run_row("trained", 0, 0.01, looks, looks=looks)
        first, ball, *_ = one_point_convexity.claims_of([row], TEN_CLASSES)
        assert first.holds is holds and ("raise snapshots" in first.measured.why) != bool(holds)
        assert ball.holds is (True if looks == 400 else None)


def test_a_control_that_learns_is_none() -> None:
    for loss, fall in ((0.9, 0.0), (2.0, 1e-3)):  # more than half of it; a little at every step
        row = run_row("untrained", 0, loss, fall=fall)
        (claim,) = one_point_convexity.claims_of([row], TEN_CLASSES)
        assert claim.holds is None and "learns" in claim.measured.why
    (claim,) = one_point_convexity.claims_of([run_row("untrained", 0, 2.0)], TEN_CLASSES)
    assert claim.holds is False


def test_that_training_converged_is_a_share_of_what_there_is_to_learn() -> None:
    """Squared errors of ten classes: the best constant has a loss of .09, which is not converged."""
    for losses, loss, holds in (
        (Losses(0.09), 0.09, None), (Losses(0.09), 0.004, True), (Losses(None), 0.004, None),
    ):  # fmt: skip
        said = one_point_convexity.claims_of([run_row("trained", 0, loss)], losses)
        assert {claim.holds for claim in said} == {holds}


def test_that_training_converged_is_asked_above_the_lowest_loss() -> None:
    """With a label smoothing of 0.3 among ten classes no loss is below 1.25 nats."""
    rows = [run_row("trained", 0, 1.3, 450), run_row("untrained", 90, 1.9)]
    said = one_point_convexity.claims_of(rows, Losses(log(10), 1.25))
    assert [claim.holds for claim in said] == [True] * 5
    assert said[0].holds != one_point_convexity.claims_of(rows, TEN_CLASSES)[0].holds


# saddles


def test_saddles_of_known_index(sgdtheory: Command) -> None:
    path, found = results(sgdtheory, "saddles", *SADDLES)
    rows = found["tables"]["saddles"]
    assert [row["known_index"] for row in rows] == [18, 9, 0]
    assert verdicts(found) | {"searches": None} == {
        "index": True, "stationary": True, "returns": True, "index_against_loss": None, "searches": None,
    }  # fmt: skip
    (search,) = found["tables"]["searches"]
    for at in ("start", "end"):
        numbers = (
            search[f"{at}_{name}"]
            for name in ("gradient_norm", "gradient_curvature", "top_curvature")
        )
        assert search[f"{at}_kind"] == kind_of(*numbers)
    assert search["start_kind"] == "neither" and search["end_index"] > 0
    assert search["end_gradient_norm"] < 0.1 * search["start_gradient_norm"]
    assert {file.stem for file in (path / "figures").glob("*.svg")} >= {
        "index_against_loss",
        "searches",
    }


def test_the_index_is_that_of_a_singular_value_decomposition() -> None:
    """Units left out: curvatures λ ± σ_i(G), G the gradient of the data loss in a linear layer beside the network."""
    data, decay = digits(), 0.02
    landscape = Network(partial(MLP, hidden=(3,), activation="tanh"), data, weight_decay=decay)
    start = landscape.init(1, stream(0, "init")).double() * mask_of_trained(landscape, 1)
    theta = lbfgs(landscape, start, 400)[0]
    at = critical_point_at(landscape, theta)
    assert at.gradient_norm < 1e-8 and ((theta == 0) == (mask_of_trained(landscape, 1) == 0)).all()
    images = data.scaled(data.train_inputs, torch.float32).double().flatten(1)
    seen = torch.cat([images, torch.ones(len(images), 1)], 1)  # [N, 65]
    logits = landscape.model_at(theta)(images.view(-1, 1, 8, 8)).detach()
    lacking = logits.softmax(1) - torch.nn.functional.one_hot(data.train_targets, 10)
    sizes = torch.linalg.svdvals(lacking.T @ seen / len(seen))  # of G [10, 65]
    assert int((sizes > decay).sum()) == 9 and at.index == 2 * 9
    spectrum = torch.linalg.eigvalsh(hessian(landscape, theta))
    for size in sizes:
        for curvature in (decay - size, decay + size):
            assert (
                int(((spectrum - curvature).abs() < 1e-9).sum()) >= 2
            )  # once for each unit left out
    narrow = Network(partial(MLP, hidden=(1,), activation="tanh"), data, weight_decay=decay)
    kept = theta[mask_of_trained(landscape, 1) == 1]
    assert float(values(narrow, kept[None])[0]) == pytest.approx(
        at.loss, abs=1e-14
    )  # the network of the units that are left


def few_classes(outputs: int, of_classes: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """150 examples of two features, and what is asked of so many outputs."""
    source = stream(0, "few")
    x = torch.randn(150, 2, generator=source)
    noisy = x[:, 0] + 0.3 * torch.randn(150, generator=source)
    if of_classes:
        return x, torch.bucketize(noisy, torch.linspace(-1, 1, outputs - 1))
    return x, noisy.sin()[:, None]


@pytest.mark.parametrize(
    ("outputs", "loss", "decay", "of_weights", "each"),
    [
        # of two features: the third column of G, for the bias, is λ times the outputs' biases
        (5, "cross_entropy", 1e-3, "all", 2),
        (5, "cross_entropy", 1e-3, "weights", 2),  # and 0 where λ does not act on them
        (5, "cross_entropy", 0.1, "all", 1),  # λ is above another one
        (5, "cross_entropy", 2.0, "all", 0),
        (5, "mse", 1e-3, "all", 2),
        (1, "mse", 1e-3, "all", 1),  # and not outputs − 1
    ],
)
def test_the_index_is_that_of_what_is_left_to_learn(
    outputs: int, loss: str, decay: float, of_weights: str, each: int
) -> None:
    """With no unit trained, where the number of σ_i(G) > λ is written down by hand, and with one: the
    negative eigenvalues of H, which knows nothing of G."""
    data = few_classes(outputs, loss == "cross_entropy" or outputs > 1)
    made = sgdtheory.landscape(torch.nn.Linear(2, outputs), data, loss=loss).data
    model = partial(MLP, hidden=(3,), activation="tanh")
    landscape = Network(model, made, decay, loss, decay=of_weights)
    for trained in (0, 1):
        start = landscape.init(1, stream(0, "init")).double()
        theta = lbfgs(landscape, start * mask_of_trained(landscape, trained), 400)[0]
        at = LevenbergMarquardt().find(landscape, theta)
        assert at.gradient_norm < 1e-8
        assert known_index(landscape, at.theta, trained) == at.index
        if not trained:
            sizes = torch.linalg.svdvals(residual_map(landscape, at.theta))
            assert at.index == 3 * each == 3 * int((sizes > max(decay, 1e-8)).sum())


def test_an_index_that_is_the_same_everywhere_has_no_rank() -> None:
    """λ above all singular values: nothing goes down anywhere."""
    rows = [saddle(k, 2.0 - k, index=0, known_index=0) for k in range(4)]
    index, *_, rising = saddles.claims_of(rows, [])
    assert index.name == "index" and index.holds is None
    assert rising.holds is None and rising.measured.value is None
    assert "lower weight_decays" in rising.measured.why


def saddle(trained: int, loss: float, **changed: Any) -> dict[str, Any]:
    known = 9 * (3 - trained)
    facts = {
        "weight_decay": 0.01,
        "trained": trained,
        "loss": loss,
        "index": known,
        "known_index": known,
        "margin": 0.01,
    }
    return facts | {"gradient_norm": 1e-12, "back_iterations": 9, "returned": True} | changed


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, [True, True, True, True]),
        ({"index": 10}, [False, True, True, True]),
        # of no critical point: its index and where a search comes back to say nothing
        ({"gradient_norm": 1e-5}, [None, False, None, None]),
        ({"gradient_norm": 1e-5, "index": 30, "returned": False}, [None, False, None, None]),
        # a curvature that may be of either sign: |∇L| is 1e-12, so up to 1e-6 from the point
        ({"margin": 1e-7}, [None, True, True, None]),
        ({"margin": 1e-7, "index": 10}, [None, True, True, None]),
        ({"returned": False}, [True, True, False, True]),
        ({"back_iterations": 41}, [True, True, False, True]),
        ({"loss": 9.0}, [True, True, True, False]),
    ],
)
def test_the_claims_of_saddles_can_fail(change: dict[str, Any], holds: list[bool | None]) -> None:
    rows = [saddle(0, 2.3), saddle(1, **{"loss": 1.2, **change}), saddle(2, 0.4), saddle(3, 0.1)]
    claims = saddles.claims_of(rows, [])
    assert [claim.holds for claim in claims] == holds
    assert all(claim.measured.why for claim in claims if claim.holds is None)
    # a wrong index of a critical point refutes whatever the others are
    wrong = [*rows, saddle(0, 2.3, weight_decay=0.1, index=1)]
    assert saddles.claims_of(wrong, [])[0].holds is False


def test_three_points_are_in_order_by_chance() -> None:
    """One in 3! = 6, and of four one in 24."""
    rows = [saddle(k, 2.0 - k) for k in range(4)]
    assert saddles.claims_of(rows, [])[-1].holds is True
    few = saddles.claims_of(rows[:3], [])[-1]
    assert few.name == "index_against_loss" and few.holds is None
    assert few.measured.why.endswith("raise hidden")


def test_searches_that_are_given_up_refute_nothing() -> None:
    rows = [saddle(k, 2.0 - k) for k in range(4)]
    rows[0] |= {"returned": False, "back_iterations": 2}
    end = {"end_kind": "neither", "end_gradient_norm": 0.04, "iterations": 2}
    claims = {claim.name: claim for claim in saddles.claims_of(rows, [end], 2)}
    assert claims["returns"].holds is claims["searches"].holds is None
    assert claims["returns"].measured.why.endswith("raise search.iterations")
    # 2 of a hundred: it was stuck there
    claims = {claim.name: claim for claim in saddles.claims_of(rows, [end], 100)}
    assert claims["returns"].holds is claims["searches"].holds is False


def test_a_short_descent_refutes_nothing(sgdtheory: Command) -> None:
    """Three steps of descent and none of a search leave |∇L| at .08."""
    words = ["descent=3", "search.iterations=2", "search.polish_iterations=0", "data.limit=100"]
    short = ["hidden=2", "weight_decays=[0.01]", "snapshots=[5]", "sgd.steps=10"]
    _, found = results(sgdtheory, "saddles", *words, *short, "executor.workers=1", "threads=1")
    assert verdicts(found) == {
        "index": None, "stationary": False, "returns": None, "index_against_loss": None, "searches": None,
    }  # fmt: skip
    (index, *_) = found["claims"]
    assert "1 of 1 critical points" in index["statement"]
    assert index["why"].startswith("2 of 3 points are not critical, |∇L| ≤ 0.084: raise descent")


def test_a_symmetry_leaves_the_index_as_it_is() -> None:
    """Curvatures that are 0 to rounding are no doubt of it; those a little above are."""
    flat = CriticalPoint(torch.zeros(3), 0.0, 0.0, None, torch.tensor([-1e-17, 0.1, 2.0]), 0)
    assert flat.margin == pytest.approx(0.05) and flat.index == 0
    doubtful = replace(flat, spectrum=torch.tensor([-1e-9, 0.1, 2.0]))
    assert doubtful.margin == pytest.approx(5e-10)


@pytest.mark.parametrize(
    ("kinds", "holds"),
    [(["gradient-flat", "critical"], True), (["gradient-flat", "neither"], False)],
)
def test_ends_that_are_told_to_be_neither_are_seen(kinds: list[str], holds: bool) -> None:
    (said,) = saddles.claims_of(
        [],
        [{"end_kind": kind, "end_gradient_norm": 0.01, "iterations": 9} for kind in kinds],
    )
    assert said.holds is holds


# mistakes


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["smoothing", "landscape=ring"], "use landscape=spiky"),
        (["smoothing", "landscape.spikes=0"], "raise landscape.spikes"),
        (["smoothing", "sgd.learning_rate=auto"], "must be numbers"),
        (["smoothing", "sgd.momentum=0.9"], "steps without a memory"),
        (["one_point_convexity", "runs.trained.steps=10"], "runs.trained"),
        (["saddles", "model=cnn", "~model.activation"], "use model=mlp"),
        (["saddles", "model.activation=relu"], "use model.activation=tanh"),
        (["saddles", "sgd.steps=10"], "beyond sgd.steps=10"),
        (["saddles", "sgd.learning_rate=auto"], "give a number"),
    ],
)
def test_mistakes_are_told_in_a_line(words: list[str], told: str, sgdtheory: Command) -> None:
    said = sgdtheory("study", *words)
    assert said.code == 2 and told in said.err and len(said.err.splitlines()) <= 3
