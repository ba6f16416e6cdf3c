"""Looks at descents on bowls, where every curvature is known; a small network at its edge; claims that
can fail."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from sgdtheory.data.digits import digits
from sgdtheory.errors import RunError, UserError
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.models.mlp import MLP
from sgdtheory.optim.adam import Adam
from sgdtheory.optim.sam import SAM
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of
from sgdtheory.studies.edge_of_stability import EdgeOfStability, run_row, size_rows
from sgdtheory.studies.shared.edges import Descent, threshold_row, watched
from sgdtheory.studies.shared.hovering import claims_of
from tests.conftest import Command

CURVATURES = (0.5, 2.0, 3.0)
BOWL = Quadratic(CURVATURES)
START = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)


def looks_at(path: Path, descent: Descent, looks: int = 4) -> Rows:
    folder = UnitFolder(path, Unit("unit", {"name": "unit"}))
    return watched(folder, descent, BOWL, START, looks, 50, 0)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_a_bowl_has_the_curvature_it_has(tmp_path: Path, momentum: float) -> None:
    rate = 0.4
    rows = looks_at(tmp_path, Descent("bowl", SGD(40, None, rate, Constant(), momentum)))
    assert column_of(rows, "step") == [10, 20, 30, 40]
    for row in rows:
        assert row["curvature"] == pytest.approx(3.0 * rate / 2 / (1 + momentum), rel=1e-9)
        assert row["batches"] is None and "no mini-batches" in row["batches_why"]
        # along the gradient the curvature is between the lowest and the highest
        assert 0.4999 < row["critical"] * row["edge"] < 3.0


def test_adams_curvature_is_the_preconditioned_one(tmp_path: Path) -> None:
    adam = Adam(40, None, 0.05, Constant(), 0.8, beta2=0.9)
    rows = looks_at(tmp_path, Descent("bowl", adam))
    h = torch.tensor(CURVATURES, dtype=torch.float64)
    theta, mean, square, found = START[0].clone(), torch.zeros(3), torch.zeros(3), []
    for step in range(1, 41):
        gradient = h * theta
        mean = 0.8 * mean + 0.2 * gradient
        square = 0.9 * square + 0.1 * gradient**2
        root = (square / (1 - 0.9**step)).sqrt() + 1e-8
        theta = theta - 0.05 * mean / (1 - 0.8**step) / root
        if step % 10 == 0:
            found.append(float((h / root).max()) / (2 * 1.8 / 0.2 / 0.05))
    assert column_of(rows, "curvature") == pytest.approx(found, rel=1e-9)


def test_sams_edge_is_that_of_the_gradient_there(tmp_path: Path) -> None:
    sam = SAM(40, None, 0.4, Constant(), rho=0.3)
    rows = looks_at(tmp_path, Descent("bowl", sam))
    *_, state = sam.run(BOWL, START, 0)
    norm = float((torch.tensor(CURVATURES) * state.cloud).norm())
    edge = sam.edge(0.4, norm).value
    assert edge is not None and rows[-1]["edge"] == pytest.approx(edge, rel=1e-9)
    assert rows[-1]["curvature"] == pytest.approx(3.0 / edge, rel=1e-9)


def test_batches_of_a_bowl_lie_between_its_curvatures(tmp_path: Path) -> None:
    rows = looks_at(tmp_path, Descent("bowl", SGD(40, 4, 0.4, Constant()), "batches"))
    for row in rows:
        assert 0.4999 < row["batches"] / 0.2 < 3 and row["batches_stderr"] > 0


@pytest.mark.parametrize(
    "sgd",
    [
        SGD(1, 8, 0.3, Constant(), 0.5),
        Adam(1, None, 0.001, Constant()),
        SAM(1, None, 0.3, Constant(), rho=0.1),
        SAM(1, None, 0.3, Constant(), 0.9, rho=0.1),
        SAM(1, None, 0.3, Constant(), 0.5, nesterov=True, rho=0.1),
    ],
)
def test_thresholds_are_found_where_they_are_stated(sgd: SGD) -> None:
    assert threshold_row(sgd, Quadratic)["apart"] < 1e-14


def test_a_statement_that_is_a_hundredth_off_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SGD, "edge_of_momentum", off_by_a_hundredth(SGD.edge_of_momentum))
    for sgd in (SGD(1, None, 0.3, Constant()), SAM(1, None, 0.3, Constant(), rho=0.1)):
        assert threshold_row(sgd, Quadratic)["apart"] > 0.005


def off_by_a_hundredth(real: Callable[[SGD, float], Measured]) -> Callable[[SGD, float], Measured]:
    def edge(self: SGD, rate: float) -> Measured:
        found = real(self, rate)
        assert found.value is not None
        return Measured(1.01 * found.value)

    return edge


def test_an_edge_that_is_none_is_no_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SGD, "edge_of_momentum", lambda self, rate: Measured(2.2 / rate))
    with pytest.raises(RunError, match="SGD does not begin to grow within 3 % of"):
        threshold_row(SGD(1, None, 0.3, Constant()), Quadratic)


def test_a_small_network_goes_to_its_edge(tmp_path: Path) -> None:
    model = partial(MLP, hidden=(16,), activation="tanh")
    data = digits(limit=300, scaling="standard")
    network = Network(model=model, data=data, weight_decay=0.0, loss="mse")
    start = network.init(1, torch.Generator().manual_seed(0))
    folder = UnitFolder(tmp_path, Unit("unit", {"name": "unit"}))
    descent = Descent("network", SGD(800, None, 1.0, Constant()))
    row = run_row(_named(watched(folder, descent, network, start, 8, 50, 0), "SGD"))
    assert row["curvature"] == pytest.approx(1, abs=0.1)
    assert row["critical"] == pytest.approx(1, abs=0.1)


def _named(rows: Rows, kind: str, size: int | None = None) -> Rows:
    facts = {"descent": "a", "kind": kind, "batch_size": size, "learning_rate": 1.0}
    return [{**facts, **row} for row in rows]


# what is said


def run(kind: str, curvature: float, size: int | None = None, batches: float | None = None) -> Row:
    return {
        "descent": kind,
        "kind": kind,
        "batch_size": size,
        "learning_rate": 1.0,
        "highest": curvature + 0.05,
        "curvature": curvature,
        "curvature_stderr": 0.01,
        "batches": batches,
        "highest_batches": batches,
        "batches_why": "",
        "batches_stderr": 0.01,
        "critical": curvature,
        "critical_stderr": 0.01,
    }


def judged(*runs: Row, apart: float = 0.0) -> dict[str, Claim]:
    sizes = [row for row in runs if row["batch_size"] is not None]
    thresholds = [{"apart": apart, "optimiser": "SGD"}]
    return {claim.name: claim for claim in claims_of(list(runs), sizes, thresholds)}


def test_what_hovers_holds_and_what_does_not_fails() -> None:
    good = judged(run("SGD", 1.05), run("Adam", 0.87), run("SAM", 1.1), run("below", 0.9))
    assert {name: claim.holds for name, claim in good.items()} == dict.fromkeys(
        ("descent", "critical", "adam", "sam", "control", "thresholds"), True
    )
    bad = judged(
        run("SGD", 1.05), run("SGD", 0.87), run("Adam", 0.8), run("SAM", 1.2), run("below", 0.99),
        apart=1e-6,
    )  # fmt: skip
    assert {claim.holds for claim in bad.values()} == {False}
    assert bad["descent"].measured.value == 0.87


def test_two_errors_from_hovering_refute_nothing() -> None:
    """0.88 ± 0.01 is beyond the 10 % by two errors, and 0.87 ± 0.3 says nothing."""
    assert judged(run("SGD", 0.88))["descent"].holds is None
    unsure = {**run("SGD", 0.87), "curvature_stderr": 0.3}
    assert "is more than the 0.1 that is asked" in judged(unsure)["descent"].measured.why


def test_a_descent_that_has_not_come_there_refutes_nothing() -> None:
    early = {**run("SGD", 0.14), "descent": "slow"}
    claims = judged(run("SGD", 1.05), early)
    for name in ("descent", "critical"):
        assert claims[name].holds is None and claims[name].measured.value == 0.14
        assert "raise descents.slow.sgd.steps" in claims[name].measured.why
    left = {**run("SGD", 0.14), "highest": 1.1}  # it was there, and went away
    assert judged(early, left)["descent"].holds is False
    batches = [run("batches", 0.2, b, 0.3) for b in (8, 16)]
    assert judged(*batches)["batches"].holds is None
    batches[0]["highest_batches"] = 1.0
    assert judged(*batches)["batches"].holds is False


def test_eigenvalues_within_their_errors_do_not_say_whether_they_rise() -> None:
    for first, second, error, holds in (
        (0.701, 0.700, 0.03, None), (0.88, 0.881, 0.2, None), (0.3, 0.7, 0.01, True), (0.7, 0.3, 0.01, False),
    ):  # fmt: skip
        runs = [run("batches", first, 8, 1.0), run("batches", second, 16, 1.0)]
        suppressed = judged(*({**row, "curvature_stderr": error} for row in runs))["suppressed"]
        assert suppressed.holds is holds and bool(suppressed.measured.why) == (holds is None)


def test_a_descent_without_numbers_has_no_control() -> None:
    looks = [{"step": 1, "curvature": None, "batches": None, "critical": None, "objective": None}]
    looks[0] |= {f"{name}_why": "not finite" for name in ("batches", "critical")}
    row = run_row(_named(looks, "below"))
    assert row["highest"] is None and judged(row)["control"].holds is None


def test_batches_are_judged_where_the_eigenvalue_is_below() -> None:
    runs = [run("batches", c, b, s) for c, b, s in ((0.3, 8, 1.05), (0.7, 16, 0.95), (1, 64, 1.5))]
    claims = judged(*runs)
    assert claims["batches"].holds and claims["suppressed"].holds
    runs[1]["batches"] = 0.85
    assert not judged(*runs)["batches"].holds
    runs[0]["curvature"] = 0.8
    assert not judged(*runs)["suppressed"].holds
    assert not judged(*[run("batches", 0.95, b, 1.0) for b in (8, 16)])["suppressed"].holds
    rows = size_rows(runs)
    assert [row["of"] for row in rows[:2]] == ["batches", "whole objective"]


def test_without_a_number_there_is_no_verdict() -> None:
    missing = {**run("SGD", 1.0), "critical": None, "critical_why": "none was found"}
    claims = judged(missing)
    assert claims["critical"].holds is None and claims["critical"].measured.why == "none was found"
    assert claims["descent"].holds


@pytest.mark.parametrize(
    ("descent", "what"),
    [
        (Descent("nowhere", SGD(1, None, 0.1, Constant())), "landscape=nowhere: is none of"),
        (Descent("bowl", SGD(1, None, "auto", Constant())), "give a number"),
        (Descent("bowl", SGD(1, 8, 0.1, Constant())), "expects=curvature: batches need"),
        (Descent("bowl", SGD(9, None, 0.1, Constant())), "steps=9: are fewer than looks=40"),
        (Descent("bowl", SGD(1, None, 0.1, Constant()), "batches"), "expects=batches"),
    ],
)
def test_what_makes_no_sense_is_refused(descent: Descent, what: str) -> None:
    with pytest.raises(UserError, match=what):
        EdgeOfStability({"bowl": BOWL}, {"descent": descent}, Quadratic)


def test_a_unit_depends_on_what_it_measures() -> None:
    descents = {
        "a": Descent("bowl", SGD(40, None, 0.1, Constant())),
        "b": Descent("bowl", SGD(41, None, 0.1, Constant())),
    }
    study = EdgeOfStability({"bowl": BOWL}, descents, Quadratic)
    science = {"landscapes": {"bowl": 0}, "descents": {"a": 1, "b": 2}, "looks": 40}
    thresholds, first, _ = study.cases()
    assert study.depends_on(science, thresholds)["descents"] == {"a": 1, "b": 2}
    assert study.depends_on(science, first)["descents"] == {"a": 1}


@pytest.mark.slow
def test_the_default_says_what_the_papers_say(sgdtheory: Command) -> None:
    said = sgdtheory("study", "edge_of_stability", "run.dir=found", "threads=1")
    assert said.code == 0, said.err
    found = json.loads(Path("found/results.json").read_text(encoding="utf-8"))
    assert {claim["name"]: claim["holds"] for claim in found["claims"]} == dict.fromkeys(
        (
            "descent",
            "critical",
            "adam",
            "sam",
            "batches",
            "suppressed",
            "control",
            "thresholds",
        ),
        True,
    )
