"""What is measured of an edge costs no more than finding it, in images."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sgdtheory.data.digits import digits
from sgdtheory.landscapes.network import Network
from sgdtheory.models.mlp import MLP
from sgdtheory.models.resnet import ResNet
from sgdtheory.paths import edge
from sgdtheory.paths.edge import Baselines, examples_for, join
from sgdtheory.paths.presets import draxler, fast
from sgdtheory.paths.strings import Strings
from sgdtheory.run import Unit, UnitFolder
from sgdtheory.schedule import Constant
from sgdtheory.sgd import SGD
from sgdtheory.streams import stream

SHORT = fast(steps=8, last_steps=12, multiples=(1.0,), threshold=1e-9, enough=0.0, retries=0)  # as dear as it can be


@pytest.mark.parametrize("model", [MLP, partial(ResNet, depth=8, width=4, shortcut="conv")], ids=["mlp", "resnet"])
def test_judging_costs_no_more_than_descending(model: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A gradient counts as three passes. Everything that is measured counts: ensembles and interpolated statistics too."""
    monkeypatch.setattr(edge, "LEAST", 1)
    baselines = Baselines(gradients=40, dense=5)
    most = examples_for(SHORT, baselines)
    assert most is not None and most < 1000
    landscape = Network(model, digits()).scored_on(most)
    *_, trained = SGD(150, 64, 0.1, Constant(), 0.9).run(landscape, landscape.init(2, stream(0, "init")), 0)
    passes = {True: 0, False: 0}  # by whether gradients are asked for
    inputs = Network._inputs

    def counted(self: Network, images: Tensor, cloud: Tensor) -> Tensor:
        passes[torch.is_grad_enabled()] += images.shape[-4] * (cloud.shape[0] if cloud.ndim == 2 else 1)
        return inputs(self, images, cloud)

    monkeypatch.setattr(Network, "_inputs", counted)
    row, _ = join(landscape, SHORT, baselines, trained.cloud, 0, UnitFolder(tmp_path, Unit("edge", {})))
    assert row["examples"] == most and not row["all_examples"]
    assert 0.2 < passes[False] / (3 * passes[True]) < 1.0


def test_small_sets_are_judged_whole_and_long_searches_on_more() -> None:
    """All of digits by default; the paper's own schedule has all of CIFAR."""
    budgets = [examples_for(method, Baselines()) or 0 for method in (Strings(), fast(), draxler(0.1), draxler(1.0))]
    assert budgets == sorted(budgets) and budgets[0] >= 1437 and budgets[-1] >= 50_000
    assert examples_for(Strings(batch_size=None), Baselines()) is None
