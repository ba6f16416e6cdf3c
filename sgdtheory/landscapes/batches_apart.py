"""Whether the mini-batches of a landscape that is no network are what SGD takes them for: their
mean the whole objective, and those of different points apart."""

from typing import NamedTuple

import torch
from scipy.special import chdtri
from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.protocol import Batch, Cloud, Landscape, of_rows, value_and_grad
from sgdtheory.rng import stream
from sgdtheory.roles.examples import (
    Sampled,
    WithExamples,
    has_examples,
    is_augmented,
    is_network,
    is_sampled,
)
from sgdtheory.roles.facts import title_of

# of what a batch gives, by which it may be off: the inputs of batches may be in float32. A gradient
# off by it moves a minimum's excess loss by its square, and a curvature so far off T by no more
HARMLESS = 1e-4
PARTS = 8  # into which all examples are put, and examples that are looked at one by one
SIZE, CALLS = 8, 32  # of the batches that are sampled, and how often some are
ROWS = (2, 64)  # at once: as few and as many as
NUMBERS = 1 << 20  # allow, of all gradients together
SUMS = 256  # of gradients, each over its share of the coordinates with signs at random
SIGMAS = 6.0  # standard errors between a mean of draws and what it should be
CHANCE = 1e-9  # of one side of so many


class Found(NamedTuple):
    """Losses and their gradients, float64."""

    values: Tensor  # [P]
    gradients: Tensor  # [P, n]


def batches_apart(landscape: Landscape, cloud: Cloud) -> None:
    """UserError where mini-batches at the points of a cloud [P, n], float64, have another mean than
    the whole objective, or where those of different points depend on each other.

    Networks draw their batches themselves; what has no batches can have no wrong ones.
    """
    if is_network(landscape) or is_augmented(landscape):
        return
    if has_examples(landscape):
        _rows_are_apart(landscape, cloud, _indices(landscape, cloud))
        _examples_have_a_mean(landscape, cloud)
    elif is_sampled(landscape):
        drawn = landscape.sample(len(cloud), SIZE, stream(0, "rows"))
        _rows_are_apart(landscape, cloud, drawn)
        _draws_have_a_mean(landscape, cloud[:1])


def _found(landscape: Landscape, cloud: Cloud, batch: Batch | None) -> Found:
    values, gradients = value_and_grad(landscape, cloud, batch)
    return Found(values.double(), gradients.double())


def _of_examples(landscape: WithExamples, cloud: Cloud, indices: Tensor) -> Found:
    """What the examples of these indices [b] give at a cloud [P, n]."""
    batch = landscape.batch(indices[None])
    return _found(landscape, cloud, batch)


def _indices(landscape: WithExamples, cloud: Cloud) -> Batch:
    """Another batch for each point of a cloud [P, n]."""
    shape = (len(cloud), SIZE)
    indices = torch.randint(landscape.count, shape, generator=stream(0, "rows"))
    return landscape.batch(indices.to(cloud.device))


def _rows_are_apart(landscape: Landscape, cloud: Cloud, batch: Batch) -> None:
    """Row p of a cloud [P, n] with row p of a batch gives what it gives among others."""
    together = _found(landscape, cloud, batch)
    points = len(cloud)
    found = []
    for p in range(points):
        row = slice(p, p + 1)
        own = of_rows(batch, row, points)
        found.append(_found(landscape, cloud[row], own))
    alone = _joined(found)
    apart = _difference(together, alone, together)
    if not apart <= HARMLESS:
        raise UserError(
            f"landscape: what a batch gives at a point of {title_of(landscape)} depends on the "
            f"batches of the other points, by {apart:.1g} of itself; row p of `losses` must read "
            f"row p of the batch alone"
        )


def _examples_have_a_mean(landscape: WithExamples, cloud: Cloud) -> None:
    """A batch is the mean of its examples, and the whole that of a partition of all of them, at the
    points of a cloud [P, n]."""
    shuffled = torch.randperm(landscape.count, generator=stream(0, "parts"))
    order = shuffled.to(cloud.device)
    title = title_of(landscape)
    few = order[:PARTS]
    singles = [_of_examples(landscape, cloud, one[None]) for one in few]
    together = _of_examples(landscape, cloud, few)
    apart = _apart_from_mean(together, singles, [1.0] * len(few))
    if not apart <= HARMLESS:
        raise UserError(
            f"landscape: a batch of {len(few)} examples of {title} is not the mean of them one by "
            f"one: apart by {apart:.1g} of what one gives; `losses` must be the mean over the "
            f"batch (no sum), with all that is added to it in every batch"
        )
    parts = order.chunk(PARTS)
    means = [_of_examples(landscape, cloud, part) for part in parts]
    sizes = [float(len(part)) for part in parts]
    whole = _found(landscape, cloud, None)
    apart = _apart_from_mean(whole, means, sizes)
    if not apart <= HARMLESS:
        raise UserError(
            f"landscape: the whole objective of {title}, losses(cloud, None), is not the mean of "
            f"its batches: apart by {apart:.1g} of what a batch gives; give the mean over the "
            f"examples (no sum), and add to it what batches add, such as weight decay"
        )


def _draws_have_a_mean(landscape: Sampled, point: Cloud) -> None:
    """Many draws at one point [1, n] are independent, and their mean is the whole."""
    source = stream(0, "draws")
    fewest, most = ROWS
    fitting = NUMBERS // (CALLS * point.shape[1])
    rows = min(most, max(fewest, fitting))
    copies = point.expand(rows, -1)
    draws = []
    for _ in range(CALLS):
        batch = landscape.sample(rows, SIZE, source)
        found = _found(landscape, copies, batch)
        draws.append(_in_sums(found))
    seen = torch.stack(draws)  # [calls, rows, 1 + sums]
    whole = _found(landscape, point, None)
    expected = _in_sums(whole)[0]
    first = seen[0]
    value = _size(first[:, :1])
    slope = _size(first[:, 1:])
    slopes = slope.expand_as(expected[1:])
    scale = torch.cat([value[None], slopes])
    _refuse_shared_draws(landscape, seen, scale)
    flat = seen.flatten(0, 1)
    count = len(flat)
    mean = flat.mean(0)
    errors = flat.std(0) / count**0.5
    off = (mean - expected).abs()
    bounds = SIGMAS * errors + HARMLESS * scale
    if bool((off <= bounds).all()):
        return
    excess = off / _above_zero(bounds)
    worst = int(excess.argmax())
    what = "a component of the gradient" if worst else "the objective"
    found_mean = float(mean[worst])
    error = float(errors[worst])
    raise UserError(
        f"landscape: the mean of {count:,} batches of {title_of(landscape)} is not its whole "
        f"objective, losses(cloud, None): {what} is {found_mean:.4g} ± "
        f"{error:.1g} over batches, whole {float(expected[worst]):.4g}; noise must "
        f"have the mean 0"
    )


def _in_sums(found: Found) -> Tensor:
    """Values and gradients [P, 1 + n]; of many coordinates sums [P, 1 + SUMS] that a share of them
    is in each, with signs at random: as good a witness, and quicker."""
    values, gradients = found
    n = gradients.shape[1]
    if n > SUMS:
        coins = torch.randint(2, (n,), generator=stream(0, "signs"))
        signs = coins.to(gradients) * 2 - 1
        shares = torch.arange(n, device=gradients.device) % SUMS
        sums = gradients.new_zeros(len(gradients), SUMS)
        gradients = sums.index_add(1, shares, gradients * signs)
    return torch.cat([values[:, None], gradients], 1)


def _refuse_shared_draws(landscape: Landscape, seen: Tensor, scale: Tensor) -> None:
    """UserError where draws [calls, rows, m] of sizes [m] are the same again, or where those of
    one call are not independent: then means over rows scatter too much."""
    title = title_of(landscape)
    mean = seen.mean((0, 1))
    variances = (seen - mean).square().mean((0, 1))
    deviations = variances.sqrt()
    bounds = HARMLESS * scale
    if bool((deviations <= bounds).all()):
        return  # nothing is drawn
    if bool((seen == seen[:1]).all()):
        raise UserError(
            f"landscape: `sample` of {title} draws the same batches when it is asked again; draw "
            f"from the generator that it is given, which moves on"
        )
    calls, rows, _ = seen.shape
    freedom = calls - 1
    squares = (seen.mean(1) - mean).square().sum(0)
    of_means = squares / freedom
    ratios = rows * of_means / _above_zero(variances)
    chi2 = float(chdtri(freedom, CHANCE / len(ratios)))
    most = chi2 / freedom
    of_drawn = ratios[deviations > bounds]
    if float(of_drawn.max()) > most:
        raise UserError(
            f"landscape: batches that `sample` of {title} draws for different points depend on "
            f"each other; draw one for each of `points`, independently"
        )


def _joined(found: list[Found]) -> Found:
    """Those of several points, [P, …] together."""
    values = [one.values for one in found]
    gradients = [one.gradients for one in found]
    return Found(torch.cat(values), torch.cat(gradients))


def _apart_from_mean(whole: Found, parts: list[Found], weights: list[float]) -> float:
    """How far the mean of parts with these weights is from the whole, of what a part gives."""
    total = sum(weights)
    values = torch.zeros_like(parts[0].values)
    gradients = torch.zeros_like(parts[0].gradients)
    for weight, part in zip(weights, parts, strict=True):
        share = weight / total
        values += share * part.values
        gradients += share * part.gradients
    return _difference(whole, Found(values, gradients), _joined(parts))


def _difference(one: Found, other: Found, like: Found) -> float:
    """The largest difference of values or gradients, in units of the size of such."""
    apart = []
    for this, that, size in zip(one, other, like, strict=True):
        rows = (this - that).reshape(len(this), -1)
        largest = rows.norm(dim=1).max()
        scale = _size(size.reshape(len(size), -1))
        apart.append(float(largest / _above_zero(scale)))
    return max(apart)


def _above_zero(numbers: Tensor) -> Tensor:
    """Numbers [...] that may be divided by."""
    tiny = torch.finfo(numbers.dtype).tiny
    return numbers.clamp_min(tiny)


def _size(rows: Tensor) -> Tensor:
    """The root of the mean square of the lengths of rows [P, n], []."""
    size: Tensor = rows.square().sum(-1).mean().sqrt()
    return size
