"""The studies of the cloud itself on small budgets, and that they see broken physics."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from sgdtheory.data.digits import digits
from sgdtheory.fokker_planck.density import Binned
from sgdtheory.fokker_planck.rotation import Rotation
from sgdtheory.geometry.linearised import Linearised
from sgdtheory.landscapes.formula import Formula
from sgdtheory.landscapes.linear_regression import LinearRegression
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.protocol import value_and_grad
from sgdtheory.report.figures.figure import RunData
from sgdtheory.report.figures.plots import plots
from sgdtheory.statistics.measured import Measured
from sgdtheory.temperature.measured_minimum import reference_minimum_at
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from sgdtheory.temperature.reshuffling import exact_epoch_factor
from tests.studies.asked import Command, results, verdicts

ALONE = ["executor.workers=1", "threads=1"]
# 20,000 points up to a time of 12, where KL is .26: its error is 2 %, the claim's 5 % are more than two of them
RELAX = ["free_energy", "clouds=1", "replicas=20000", "sgd.steps=600", "moments=12", *ALONE]
# both wells at once: at rest soon; the histogram's bias is .009 nats, the claim's bound .001 and three errors of .001
REST = [
    "free_energy",
    "clouds=1",
    "replicas=9000",
    "bins=200",
    "sgd.steps=600",
    "moments=4",
    "start=[-1.4,1.4]",
    *ALONE,
]
# an error of 3 %, a bound of 10 %
RING = [
    "current", "~systems.two_wells", "~systems.regression", "systems.ring.strengths=[0.0,0.1]", "systems.ring.replicas=4000",
    "systems.ring.sgd.steps=400", "systems.ring.burn_in=100", "systems.ring.within=0.1", *ALONE,
]  # fmt: skip
ESCAPE = ["escape", "batch_sizes=[1,2]", "replicas=1000", *ALONE]  # an error of 3 %, a bound of 8 %


def twice_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = Formula.sample

    def loud(self: Formula, points: int, size: int, stream: Generator) -> Tensor:
        return 2**0.5 * sample(self, points, size, stream)

    monkeypatch.setattr(Formula, "sample", loud)


# free energy


def test_the_cloud_follows_the_equation(sgdtheory: Command) -> None:
    path, found = results(sgdtheory, *RELAX)
    assert verdicts(found) == {
        "divergence": True,
        "monotone": True,
        "free_energy": True,
        "steady_state": None,  # ± .005, and .001 is asked
    }
    rows = found["tables"]["relaxation"]
    assert rows[0]["points"] == 20000 and rows[-1]["time"] == pytest.approx(12)
    assert rows[0]["divergence"] > rows[-1]["divergence"] > 0.2
    names = [figure.name for figure in plots(RunData.read(path))]
    assert names == ["divergence", "free_energy", "densities"]


def test_twice_the_noise_is_seen(sgdtheory: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    twice_the_noise(monkeypatch)
    _, found = results(sgdtheory, *RELAX)
    assert verdicts(found)["divergence"] is False and verdicts(found)["free_energy"] is False


def test_a_bias_that_is_not_subtracted_is_seen(
    sgdtheory: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, found = results(sgdtheory, *REST)
    assert verdicts(found)["steady_state"] is True
    whole = Binned.divergence.fget  # type: ignore[attr-defined]

    def raw(self: Binned) -> Measured:
        right: Measured = whole(self)
        return right._replace(
            value=right.value + (len(self._merged(self.counts)) - 1) / (2 * self.counts.sum())
        )

    monkeypatch.setattr(Binned, "divergence", property(raw))
    _, found = results(sgdtheory, *REST, "run.root=raw")
    assert verdicts(found)["steady_state"] is False


def test_a_killed_cloud_goes_on_to_the_same_bits(
    sgdtheory: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sgdtheory.runs import unit as units

    words = [*REST, "replicas=1000", "sgd.steps=300"]
    _, whole = results(sgdtheory, *words, "run.root=whole")
    keep, calls = units.UnitFolder.keep, []

    def broken(self: Any, *arguments: Any, **named: Any) -> None:
        calls.append(1)
        monkeypatch.setattr(units, "CHECKPOINT_SECONDS", 0.0 if len(calls) == 150 else 1e9)
        keep(self, *arguments, **named)
        if len(calls) == 200:
            raise KeyboardInterrupt

    monkeypatch.setattr(units.UnitFolder, "keep", broken)
    assert sgdtheory("study", *words, "run.root=cut").code == 130
    _, found = results(sgdtheory, *words, "run.root=cut")
    assert found["tables"] == whole["tables"] and len(calls) == 200 + 150


# currents


def test_a_current_is_seen_and_its_absence_too(sgdtheory: Command) -> None:
    _, found = results(sgdtheory, *RING)
    assert verdicts(found) == {
        "current": True,
        "ring": True,
        "ring_still": True,
        "ring_density": True,
    }
    still, turning = found["tables"]["stirred"]
    assert still["area_exact"] == 0 and turning["area"] > 10 * turning["area_stderr"]


def test_a_rotation_that_does_nothing_is_seen(
    sgdtheory: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rotation, "force", lambda self, cloud, losses, gradients: gradients)
    _, found = results(sgdtheory, *RING)
    assert (
        verdicts(found)["ring"] is False
        and verdicts(found)["ring_still"] is True
        and verdicts(found)["current"] is False
    )


def test_the_other_systems(sgdtheory: Command) -> None:
    """Errors of about 3 and 7 %."""
    _, found = results(
        sgdtheory, "current", "~systems.ring", "systems.two_wells.strengths=[0.5]", "systems.two_wells.replicas=4000",
        "systems.two_wells.sgd.steps=600", "systems.two_wells.within=0.1", "systems.regression.replicas=64",
        "systems.regression.sgd.steps=300", "systems.regression.within=0.25", *ALONE,
    )  # fmt: skip
    assert verdicts(found) == {
        "current": True,
        "two_wells": True,
        "two_wells_density": True,
        "regression": True,
    }


# escape


def test_escape_takes_its_time(sgdtheory: Command) -> None:
    _, found = results(sgdtheory, *ESCAPE)
    assert verdicts(found)["escape"] is True
    hot, cold = found["tables"]["passages"]
    assert hot["time"] < cold["time"] and cold["exact"] == pytest.approx(19.09, rel=1e-3)


def test_escape_with_twice_the_noise_is_too_fast(
    sgdtheory: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice_the_noise(monkeypatch)
    _, found = results(sgdtheory, *ESCAPE, "batch_sizes=[1]")
    assert verdicts(found)["escape"] is False


def test_no_mean_before_all_have_arrived(sgdtheory: Command) -> None:
    _, found = results(sgdtheory, *ESCAPE, "sgd.steps=100")
    assert found["claims"][0]["holds"] is None and "have not arrived" in found["claims"][0]["why"]


# epochs


LANDSCAPE = LinearRegression(digits())


@cache
def ground() -> ReferenceMinimum:
    return reference_minimum_at(LANDSCAPE, LANDSCAPE.minima()[0], 0, 8)


def test_of_frozen_noise_the_exact_factor_is_exact() -> None:
    """Linear regression on digits, its noise frozen: within 4 errors, r(x) alone more than 4 from it, white noise 20."""
    frozen = Linearised(LANDSCAPE, ground().theta)
    torch.testing.assert_close(frozen.hessian, LANDSCAPE.hessian)
    spectrum, weights = frozen.modes()
    exact = ground()._replace(spectrum=spectrum, weights=weights)
    assert exact_epoch_factor(exact, 0.02, 128, 1437) == pytest.approx(
        exact_epoch_factor(ground(), 0.02, 128, 1437), rel=1e-6
    )
    rate, size, points = 0.02, 128, 256
    seen, count = torch.zeros(points, dtype=torch.float64), 0
    for state in SGD(800, size, rate, Constant(), sampling="epoch").run(
        frozen, frozen.init(points, Generator()).float(), 1
    ):
        if state.step > 200 and state.step % 5 == 0:
            losses, gradients = value_and_grad(frozen, state.cloud.double())
            seen += 2 * (losses - frozen.lowest) - rate / 2 * gradients.square().sum(1)
            count += 1
    found = Measured.mean(seen.numpy() / count / ground().noise_trace / (rate / (2 * size)))
    exact = exact_epoch_factor(ground(), rate, size, LANDSCAPE.count)
    assert found.value is not None and found.stderr is not None
    assert abs(found.value - exact) < 4 * found.stderr
    assert abs(found.value - ground().epoch_factor(rate, LANDSCAPE.count / size)) > 4 * found.stderr
    assert abs(found.value - 1) > 20 * found.stderr


def test_of_many_small_steps_the_exact_factor_is_r() -> None:
    for epoch in (
        3.0,
        10.0,
    ):  # ηN/b, of 1,000, 10,000 and 100,000 steps: the rest goes as one over their number
        off = []
        for steps in (1_000, 10_000, 100_000):
            exact = exact_epoch_factor(ground(), epoch / steps, 1000, 1000 * steps)
            off.append(exact - ground().epoch_factor(epoch / steps, steps))
        assert (
            abs(off[2]) < 1e-2 and off[0] / off[1] == pytest.approx(10, rel=0.3) == off[1] / off[2]
        )


@pytest.mark.slow
def test_epochs_are_colder(sgdtheory: Command) -> None:
    words = [
        "epochs.sweep.learning_rate=[0.25]",
        "epochs.sweep.batch_size=[64,128]",
        "independent.sweep.batch_size=[64]",
    ]
    few = [
        f"{kind}.{what}"
        for kind in ("epochs", "independent")
        for what in ("replicas=96", "precision=0.015", "steps=6000")
    ]
    _, found = results(sgdtheory, "epoch_noise", *words, *few, *ALONE)
    held = verdicts(found)
    assert held["epoch"] and held["prediction"] and held["frozen"] and held["independent"]
    assert [row["kind"] for row in found["tables"]["cells"]] == [
        "epochs",
        "epochs",
        "independent",
        "independent",
        "frozen",
    ]


# mistakes


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["free_energy", "landscape=ring"], "use landscape=double_well"),
        (["free_energy", "bins=30"], "must divide"),
        (["free_energy", "start=[-9,0]"], "is not inside"),
        (["free_energy", "sgd.batch_size=null"], "batch_size"),
        (["current", "systems.ring.burn_in=9000"], "leaves nothing"),
        (["current", "systems.ring.sgd.momentum=0.5"], "momentum=0"),
        (["current", "systems.ring.coupling=null"], "stationary_area"),
        (["escape", "landscape=ring"], "whose times are known"),
        (["epoch_noise", "epochs.sampling=iid"], "must be epoch"),
    ],
)
def test_mistakes_are_told_in_a_line(words: list[str], told: str, sgdtheory: Command) -> None:
    said = sgdtheory("study", *words)
    assert said.code == 2 and told in said.err and len(said.err.splitlines()) <= 3
