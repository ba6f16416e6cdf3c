"""The barrier of a straight line as a gap between logits: those of the interpolated weights against
the interpolated ones."""

import torch
from torch import Tensor

from sgdtheory.paths.profile import Profile
from sgdtheory.paths.straight_line import points_on_line
from sgdtheory.protocol import Cloud
from sgdtheory.roles.examples import NetworkLandscape
from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.rows import Row

CHUNK = 500  # examples whose outputs are computed at once
HALF = 0.5  # of the gap: how many examples make that much of it


def logit_gap(landscape: NetworkLandscape, ends: Cloud, along: Profile) -> Row:
    """What makes the loss of a straight line between ends [2, n] rise over its chord, at the point
    t of its profile where it rises most.

    With logits f_t of the weights (1−t)θ₀ + tθ₁ and the interpolated logits g = (1−t)f₀ + tf₁,
    cross-entropy ℓ(f) = lse f − f_y (lse the log of the sum of exponentials) gives for each example
    ℓ(f_t) − (1−t)ℓ(f₀) − tℓ(f₁) = D − J − E_y with D = lse f_t − lse g, J = (1−t) lse f₀ + t lse f₁
    − lse g and E_y = f_t,y − g_y: the y-terms of J are those of g and cancel. It holds for every
    network, to rounding. J ≥ 0, as lse is convex: an ensemble of logits is better than its members.
    Only D − E_y = ℓ(f_t) − ℓ(g), which vanishes where logits are linear in θ, can make a barrier;
    D and E_y alone change when a number is added to all logits, and are not given. In terms of ℓ
    the two are defined for every loss; J ≥ 0 where it is convex in the outputs.

    `bent`: E[D − E_y]; `jensen`: E[J]; `gap`: E[D − J − E_y], L(t) over the chord, each with its
    error over examples, in the unit of the loss. `half_made_by`: the smallest share of examples
    whose own gaps sum to half of the whole; null where it is not above zero.
    """
    worst = _highest_over_chord(along)
    t = along.t[worst]
    middle = points_on_line(ends, t[None])
    inputs, targets = landscape.examples("train")
    points = torch.cat([ends, middle])
    outputs = [_outputs(landscape, theta, inputs) for theta in points]
    first, last, _ = outputs
    outputs.append(torch.lerp(first, last, float(t)))
    stacked = torch.stack(outputs)
    losses = landscape.loss.losses(stacked, targets[None])
    of_first, of_last, of_bent, of_straight = losses.cpu()
    by_logits = of_bent - of_straight
    chord = torch.lerp(of_first, of_last, float(t))
    jensen = chord - of_straight
    gap = by_logits - jensen
    unit = landscape.loss.unit
    return {
        "t": float(t),
        **Measured.mean(gap, unit).columns("gap"),
        **Measured.mean(by_logits, unit).columns("bent"),
        **Measured.mean(jensen, unit).columns("jensen"),
        "half_made_by": share_that_makes(gap, HALF),
    }


def share_that_makes(gaps: Tensor, part: float) -> float | None:
    """The smallest share of examples whose gaps, of all gaps [N], sum to this part of the whole;
    None where the whole is not above zero."""
    whole = float(gaps.sum())
    if not whole > 0:
        return None
    sums = gaps.sort(descending=True).values.cumsum(0)
    enough = (sums >= part * whole).int()
    return (int(enough.argmax()) + 1) / len(gaps)


def _highest_over_chord(along: Profile) -> int:
    """The inner point of a profile whose mean training loss is farthest above the chord's."""
    means = along.train_means
    chord = torch.lerp(means[0], means[-1], along.t.to(means))
    over = means - chord
    return 1 + int(over[1:-1].argmax())


def _outputs(landscape: NetworkLandscape, theta: Tensor, inputs: Tensor) -> Tensor:
    """Outputs [N, …] in float64 at a point θ [n] for inputs [N, …], with its own statistics."""
    buffers = landscape.statistics(theta)
    chunks = []
    for some in inputs.split(CHUNK):
        outputs = landscape.outputs_with(theta, buffers, some)
        chunks.append(outputs)
    return torch.cat(chunks).double()
