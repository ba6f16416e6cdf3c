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
        _rows_are_apart(landscape, cloud, landscape.sample(len(cloud), SIZE, stream(0, "rows")))
        _draws_have_a_mean(landscape, cloud[:1])


def _found(landscape: Landscape, cloud: Cloud, batch: Batch | None) -> Found:
    values, gradients = value_and_grad(landscape, cloud, batch)
    return Found(values.double(), gradients.double())


def _indices(landscape: WithExamples, cloud: Cloud) -> Batch:
    """Another batch for each point of a cloud [P, n]."""
    shape = (len(cloud), SIZE)
    indices = torch.randint(landscape.count, shape, generator=stream(0, "rows"))
    return landscape.batch(indices.to(cloud.device))


def _rows_are_apart(landscape: Landscape, cloud: Cloud, batch: Batch) -> None:
    """Row p of a cloud [P, n] with row p of a batch gives what it gives among others."""
    together = _found(landscape, cloud, batch)
    rows = [slice(row, row + 1) for row in range(len(cloud))]
    found = [_found(landscape, cloud[row], of_rows(batch, row, len(cloud))) for row in rows]
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
    order = torch.randperm(landscape.count, generator=stream(0, "parts")).to(cloud.device)
    title = title_of(landscape)
    few = order[:PARTS]
    singles = [_found(landscape, cloud, landscape.batch(one[None, None])) for one in few]
    apart = _apart_from_mean(
        _found(landscape, cloud, landscape.batch(few[None])), singles, [1.0] * len(few)
    )
    if not apart <= HARMLESS:
        raise UserError(
            f"landscape: a batch of {len(few)} examples of {title} is not the mean of them one by "
            f"one: apart by {apart:.1g} of what one gives; `losses` must be the mean over the "
            f"batch (no sum), with all that is added to it in every batch"
        )
    parts = order.chunk(PARTS)
    means = [_found(landscape, cloud, landscape.batch(part[None])) for part in parts]
    sizes = [float(len(part)) for part in parts]
    apart = _apart_from_mean(_found(landscape, cloud, None), means, sizes)
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
    rows = min(most, max(fewest, NUMBERS // (CALLS * point.shape[1])))
    copies = point.expand(rows, -1)
    draws = []
    for _ in range(CALLS):
        found = _found(landscape, copies, landscape.sample(rows, SIZE, source))
        draws.append(_in_sums(found))
    seen = torch.stack(draws)  # [calls, rows, 1 + sums]
    expected = _in_sums(_found(landscape, point, None))[0]
    values, slopes = _size(seen[0, :, :1]), _size(seen[0, :, 1:])
    scale = torch.cat([values[None], slopes.expand_as(expected[1:])])
    _refuse_shared_draws(landscape, seen, scale)
    flat = seen.flatten(0, 1)
    errors = flat.std(0) / len(flat) ** 0.5
    off = (flat.mean(0) - expected).abs()
    bounds = SIGMAS * errors + HARMLESS * scale
    if bool((off <= bounds).all()):
        return
    worst = int((off / bounds.clamp_min(torch.finfo(off.dtype).tiny)).argmax())
    what = "a component of the gradient" if worst else "the objective"
    raise UserError(
        f"landscape: the mean of {len(flat):,} batches of {title_of(landscape)} is not its whole "
        f"objective, losses(cloud, None): {what} is {float(flat.mean(0)[worst]):.4g} ± "
        f"{float(errors[worst]):.1g} over batches, whole {float(expected[worst]):.4g}; noise must "
        f"have the mean 0"
    )


def _in_sums(found: Found) -> Tensor:
    """Values and gradients [P, 1 + n]; of many coordinates sums [P, 1 + SUMS] that a share of them
    is in each, with signs at random: as good a witness, and quicker."""
    values, gradients = found
    n = gradients.shape[1]
    if n > SUMS:
        signs = torch.randint(2, (n,), generator=stream(0, "signs")).to(gradients) * 2 - 1
        shares = torch.arange(n, device=gradients.device) % SUMS
        sums = gradients.new_zeros(len(gradients), SUMS)
        gradients = sums.index_add(1, shares, gradients * signs)
    return torch.cat([values[:, None], gradients], 1)


def _refuse_shared_draws(landscape: Landscape, seen: Tensor, scale: Tensor) -> None:
    """UserError where draws [calls, rows, m] of sizes [m] are the same again, or where those of
    one call are not independent: then means over rows scatter too much."""
    title = title_of(landscape)
    spread = (seen - seen.mean((0, 1))).square()
    if bool((spread.mean((0, 1)).sqrt() <= HARMLESS * scale).all()):
        return  # nothing is drawn
    if bool((seen == seen[:1]).all()):
        raise UserError(
            f"landscape: `sample` of {title} draws the same batches when it is asked again; draw "
            f"from the generator that it is given, which moves on"
        )
    calls, rows, _ = seen.shape
    shares = spread.mean((0, 1))
    of_means = (seen.mean(1) - seen.mean((0, 1))).square().sum(0) / (calls - 1)
    ratios = rows * of_means / shares.clamp_min(torch.finfo(shares.dtype).tiny)
    most = float(chdtri(calls - 1, CHANCE / len(ratios))) / (calls - 1)
    if float(ratios[shares.sqrt() > HARMLESS * scale].max()) > most:
        raise UserError(
            f"landscape: batches that `sample` of {title} draws for different points depend on "
            f"each other; draw one for each of `points`, independently"
        )


def _joined(found: list[Found]) -> Found:
    """Those of several points, [P, …] together."""
    return Found(torch.cat([one.values for one in found]), torch.cat([one[1] for one in found]))


def _apart_from_mean(whole: Found, parts: list[Found], weights: list[float]) -> float:
    """How far the mean of parts with these weights is from the whole, of what a part gives."""
    total = sum(weights)
    values = sum(weight / total * part.values for weight, part in zip(weights, parts, strict=True))
    slopes = sum(
        weight / total * part.gradients for weight, part in zip(weights, parts, strict=True)
    )
    assert isinstance(values, Tensor) and isinstance(slopes, Tensor)
    return _difference(whole, Found(values, slopes), _joined(parts))


def _difference(one: Found, other: Found, like: Found) -> float:
    """The largest difference of values or gradients, in units of the size of such."""
    apart = []
    for this, that, size in zip(one, other, like, strict=True):
        rows = (this - that).reshape(len(this), -1)
        scale = _size(size.reshape(len(size), -1)).clamp_min(torch.finfo(size.dtype).tiny)
        apart.append(float(rows.norm(dim=1).max() / scale))
    return max(apart)


def _size(rows: Tensor) -> Tensor:
    """The root of the mean square of the lengths of rows [P, n], []."""
    size: Tensor = rows.square().sum(-1).mean().sqrt()
    return size
