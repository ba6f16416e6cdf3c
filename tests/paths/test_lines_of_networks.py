"""What makes the barrier of a line, exactly; and renumberings around triangles."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from sgdtheory.data.digits import digits
from sgdtheory.errors import RunError
from sgdtheory.landscapes.network import Network
from sgdtheory.losses.cross_entropy import CrossEntropy
from sgdtheory.models.mlp import MLP
from sgdtheory.models.resnet import ResNet
from sgdtheory.models.vit import ViT
from sgdtheory.paths.baselines import symmetry_of
from sgdtheory.paths.logit_gap import logit_gap, share_that_makes
from sgdtheory.paths.profile import Profile, profile
from sgdtheory.paths.renumbering import cycle_defect, renumbering_between
from sgdtheory.paths.straight_line import evenly_spaced, points_on_line
from sgdtheory.rng import stream

MODELS: dict[str, Any] = {
    "mlp": partial(MLP, hidden=(8, 6)),
    "resnet8": partial(ResNet, depth=8, width=4),
    "vit": partial(ViT, patch=4, width=8, layers=1, heads=2),
}


def network(name: str, **words: Any) -> Network:
    return Network(MODELS[name], digits(), weight_decay=0.0, **words).scored_on(200)


def line_of(landscape: Network) -> tuple[Tensor, Profile]:
    ends = 2 * landscape.init(2, stream(0, "ends")).double()
    t = evenly_spaced(5, ends.device)
    return ends, profile(landscape, points_on_line(ends, t), t)


def logits_at(landscape: Network, theta: Tensor) -> Tensor:
    """By the module that a user has in hand."""
    inputs, _ = landscape.examples("train")
    module = landscape.model_at(theta).double()
    with torch.no_grad():
        outputs: Tensor = module(landscape.data.prepared(inputs, torch.float64))
    return outputs


@pytest.mark.parametrize("name", ["mlp", "resnet8"])
def test_a_barrier_is_the_gap_between_logits(name: str) -> None:
    landscape = network(name)
    ends, along = line_of(landscape)
    found = logit_gap(landscape, ends, along)
    t = found["t"]
    k = int((along.t == t).nonzero())
    means = along.train_means
    over_chord = float(means[k] - (1 - t) * means[0] - t * means[-1])
    assert found["gap"] == pytest.approx(over_chord, abs=1e-12)
    chords = (1 - along.t) * means[0] + along.t * means[-1]
    assert float((means - chords)[1:-1].max()) == pytest.approx(over_chord, abs=1e-14)
    # by its three terms, written out
    _, y = landscape.examples("train")
    middle = (1 - t) * ends[0] + t * ends[1]
    first, last, bent = (logits_at(landscape, theta) for theta in (*ends, middle))
    straight = (1 - t) * first + t * last
    d = bent.logsumexp(1) - straight.logsumexp(1)
    j = (1 - t) * first.logsumexp(1) + t * last.logsumexp(1) - straight.logsumexp(1)
    e = (bent - straight).gather(1, y[:, None])[:, 0]
    assert float((d - j - e).mean()) == pytest.approx(over_chord, abs=1e-12)
    assert found["bent"] == pytest.approx(float((d - e).mean()), abs=1e-12)
    assert found["jensen"] == pytest.approx(float(j.mean()), abs=1e-12)
    assert float(j.min()) >= -1e-12 and found["jensen"] > 1e-3  # without it there is no identity
    assert found["gap_stderr"] == pytest.approx(float((d - j - e).std() / len(y) ** 0.5))


def test_smoothed_targets_have_the_same_gap_between_logits() -> None:
    landscape = network("mlp", loss=CrossEntropy(label_smoothing=0.2))
    ends, along = line_of(landscape)
    found = logit_gap(landscape, ends, along)
    means, k = along.train_means, int((along.t == found["t"]).nonzero())
    chord = torch.lerp(means[0], means[-1], found["t"])
    assert found["gap"] == pytest.approx(float(means[k] - chord), abs=1e-12)


def test_linear_logits_make_no_barrier() -> None:
    landscape = Network(partial(MLP, hidden=()), digits(), weight_decay=0.0).scored_on(200)
    found = logit_gap(landscape, *line_of(landscape))
    assert found["bent"] == pytest.approx(0, abs=1e-12) and found["gap"] < 0
    assert found["half_made_by"] is None


def test_how_many_examples_make_a_gap() -> None:
    assert share_that_makes(torch.tensor([4.0, 1.0, 1.0, 1.0, 1.0, 0, 0, 0]), 0.5) == 1 / 8
    assert share_that_makes(torch.full((8,), 0.1, dtype=torch.float64), 0.5) == 1 / 2
    assert share_that_makes(torch.tensor([5.0, 5.0, -8.0, 0.0]), 0.5) == 1 / 4
    assert share_that_makes(torch.tensor([1.0, -1.0]), 0.5) is None


@pytest.mark.parametrize("name", MODELS)
def test_planted_copies_close_every_triangle(name: str) -> None:
    landscape = network(name)
    symmetry = symmetry_of(landscape)
    draws = stream(1, "plant", name)
    theta = landscape.init(1, draws)[0]
    theta = theta + 0.1 * torch.randn(len(theta), generator=draws)
    copies = [theta, *(symmetry.apply(theta, symmetry.random(draws)) for _ in range(2))]
    a, b, c = copies
    ab = renumbering_between(symmetry, b, a)
    bc = renumbering_between(symmetry, c, b)
    ac = renumbering_between(symmetry, c, a)
    assert torch.equal(symmetry.apply(c, ac), a)
    closed = cycle_defect(symmetry, ab, bc, ac)
    assert closed.moved == 0 and closed.units == sum(group.size for group in symmetry.groups)
    # two units taken for one another
    last = ac[-1].clone()
    last[[0, 1]] = last[[1, 0]]
    assert cycle_defect(symmetry, ab, bc, [*ac[:-1], last]).moved == 2
    # the other way round is another renumbering
    assert cycle_defect(symmetry, bc, ab, ac).moved > 0


def test_what_is_no_renumbering_is_not_taken_for_one() -> None:
    landscape = network("mlp")
    a, b = landscape.init(2, stream(2, "ends"))
    with pytest.raises(RunError, match="no renumbering"):
        renumbering_between(symmetry_of(landscape), a, b)
