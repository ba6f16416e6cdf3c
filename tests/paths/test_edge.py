"""What is measured of an edge costs no more than finding it, in images."""

from functools import partial
from math import inf
from pathlib import Path as Folder
from typing import Any

import pytest
import torch
from torch import Tensor

from sgdtheory.data.digits import digits
from sgdtheory.landscapes.double_well import DoubleWell
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.network_objective import MiniBatch
from sgdtheory.models.mlp import MLP
from sgdtheory.models.resnet import ResNet
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD, Coupling
from sgdtheory.paths import budget
from sgdtheory.paths.autoneb_state import AutoNEBState
from sgdtheory.paths.baselines import Baselines
from sgdtheory.paths.budget import edge_progress, examples_for
from sgdtheory.paths.edge import join
from sgdtheory.paths.ensembling import ensembling
from sgdtheory.paths.path import Path
from sgdtheory.paths.presets import draxler, fast
from sgdtheory.paths.profile import profile
from sgdtheory.paths.search import keep_state, kept_state, run_stage_in
from sgdtheory.paths.strings import Strings
from sgdtheory.protocol import values
from sgdtheory.rng import stream
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder

SHORT = fast(
    steps=8, last_steps=12, multiples=(1.0,), threshold=1e-9, enough=0.0, retries=0
)  # as dear as it can be


@pytest.mark.parametrize(
    "model", [MLP, partial(ResNet, depth=8, width=4, shortcut="conv")], ids=["mlp", "resnet"]
)
def test_judging_costs_no_more_than_descending(
    model: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Folder
) -> None:
    """A gradient counts as three passes. Everything that is measured counts: ensembles and
    interpolated statistics too."""
    monkeypatch.setattr(budget, "LEAST", 1)
    baselines = Baselines(gradients=40, dense=5)
    most = examples_for(SHORT, baselines)
    assert most is not None and most < 1000
    landscape = Network(model, digits()).scored_on(most)
    *_, trained = SGD(150, 64, 0.1, Constant(), 0.9).run(
        landscape, landscape.init(2, stream(0, "init")), 0
    )
    passes = {True: 0, False: 0}  # by whether gradients are asked for
    losses, outputs, recorded = Network._losses, Network.outputs_with, Network._recorded
    gradients = Network.losses_and_gradients

    def of_losses(self: Network, cloud: Tensor, batch: MiniBatch, of_rows: Any) -> Tensor:
        if not torch.is_grad_enabled():
            passes[False] += batch.inputs.shape[1] * cloud.shape[0]
        return losses(self, cloud, batch, of_rows)

    def of_gradients(self: Network, cloud: Tensor, batch: MiniBatch, into: Tensor | None) -> Any:
        passes[True] += batch.inputs.shape[1] * cloud.shape[0]
        return gradients(self, cloud, batch, into)

    def of_outputs(self: Network, theta: Tensor, buffers: Any, inputs: Tensor) -> Tensor:
        passes[False] += len(inputs)
        return outputs(self, theta, buffers, inputs)

    def of_statistics(self: Network, theta: Tensor, inputs: Tensor) -> Any:
        passes[False] += len(inputs)
        return recorded(self, theta, inputs)

    monkeypatch.setattr(Network, "_losses", of_losses)
    monkeypatch.setattr(Network, "losses_and_gradients", of_gradients)
    monkeypatch.setattr(Network, "outputs_with", of_outputs)
    monkeypatch.setattr(Network, "_recorded", of_statistics)
    row, _ = join(
        landscape, SHORT, baselines, trained.cloud, 0, UnitFolder(tmp_path, Unit("edge", {}))
    )
    assert row["examples"] == most and not row["all_examples"]
    assert 0.2 < passes[False] / (3 * passes[True]) < 1.0


def test_small_sets_are_judged_whole_and_long_searches_on_more() -> None:
    """All of digits by default; the paper's own schedule has all of CIFAR."""
    budgets = [
        examples_for(method, Baselines()) or 0
        for method in (Strings(), fast(), draxler(0.1), draxler(1.0))
    ]
    assert budgets == sorted(budgets) and budgets[0] >= 1437 and budgets[-1] >= 50_000
    assert examples_for(Strings(batch_size=None), Baselines()) is None


def test_progress_goes_with_the_work(tmp_path: Folder) -> None:
    """At the end of a cycle, progress is the share of the steps × pivots that are done: the first
    cycles are the cheap ones."""
    landscape = DoubleWell(directions=2)
    method = fast(steps=4, last_steps=6, multiples=(1.0,), threshold=1e-9, enough=0.0, retries=0)
    told: list[tuple[str, float]] = []

    class Watched(UnitFolder):
        def keep(self, state: Any, done: float, what: str = "") -> None:
            told.append((what, done))

    folder = Watched(tmp_path, Unit("edge", {}))
    method.find(landscape, landscape.minima(), 0, folder)
    work = [4 * 3, 4 * 5, 4 * 7, 4 * 9, 6 * 11]
    over = [max(done for what, done in told if what == f"attempt-0-cycle-{k}") for k in range(5)]
    assert over == pytest.approx([sum(work[: k + 1]) / sum(work) for k in range(5)])


def test_a_search_that_is_read_back_is_the_one_that_was_kept(tmp_path: Folder) -> None:
    """No cycle has risen yet and no attempt is over: infinite numbers, which a file has no room
    for, are so again."""
    landscape = DoubleWell(directions=2)
    folder = UnitFolder(tmp_path, Unit("edge", {}))

    def descend(name: str, sgd: SGD, cloud: Tensor, band: Coupling, seed: int) -> Tensor:
        return run_stage_in(folder, name, sgd, landscape, cloud, seed, band, (0.0, 1.0))

    ends, evaluate = landscape.minima(), partial(values, landscape)
    first = next(SHORT.run(landscape, ends, 0, evaluate, descend))
    assert first.too_high == first.best_barrier == inf
    keep_state(folder, first)
    found = AutoNEBState.read(kept_state(folder), torch.device("cpu"))
    assert found is not None and found.facts() == first.facts()
    assert all(torch.equal(x, found.tensors()[name]) for name, x in first.tensors().items())


def test_shares_are_those_of_the_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand, of a machine on which a step of k pivots takes 1 + k seconds, and a look at a point
    half of one."""
    monkeypatch.setattr(budget, "seconds_of_step", lambda landscape, batch, cloud: 1.0 + len(cloud))
    monkeypatch.setattr(
        budget, "estimate_scores", lambda landscape, cloud, count: Estimate(0.5, 0, 0)
    )
    landscape = Network(MLP, digits())
    method, baselines = fast(), Baselines(800, 15)
    _, points, kept = method.cost()
    # 3, 5, 7, 9, 11 pivots
    search = 60 * (4 + 6 + 8 + 10) + 100 * 12 + 0.5 * points
    scored = 15 + 6  # evenly spaced, and about the highest
    measure, lines = 0.5 * 10 * (kept + 1), 0.5 * 2 * scored
    bends, rest = 2 * (2 * 800 + 0.5 * scored), 0.5 * 20
    total = search + measure + lines + bends + rest
    found = edge_progress(landscape, method, baselines, landscape.init(2, stream(0, "init")))
    assert found[:4] == pytest.approx(
        [x / total for x in (search, search + measure, search + measure + lines, total - rest)]
    )
    assert found.step(3) == pytest.approx(4.0)


def test_an_ensemble_is_scored_on_the_examples_of_its_path() -> None:
    """It was of all test examples, where the path and the average beside it were of some."""
    whole = Network(partial(MLP, hidden=(8,)), digits())
    some = whole.scored_on(37)
    ends = whole.init(2, stream(0, "init"))
    path = Path(ends, torch.tensor([0.0, 1.0]))
    along = profile(some, ends, path.t)
    found = ensembling(some, path, along, members=1)
    assert along.test_errors is not None
    alone = along.test_errors[0].mean()  # of one member, the first end
    assert found["ensemble"]["test_error"] == pytest.approx(float(alone), abs=1e-12)
    assert found["ensemble"]["test_error"] * 37 == pytest.approx(round(float(alone) * 37))
