"""Whether a network's landscape is one function of its parameters: tried out before any work.

Each check evaluates a few examples in float64, where what is only rounding and what is a fault are
nine digits apart. What fails is refused in one line that names the part of the module.
"""

import random
from math import inf
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sgdtheory.errors import UserError, in_a_line
from sgdtheory.landscapes.culprit import REFUSED, ROUNDING, refusal, relative_difference
from sgdtheory.landscapes.magnitudes import refuse_large_inputs, without_slope
from sgdtheory.landscapes.module_parts import constants_of
from sgdtheory.landscapes.moved_in_training import refuse_what_training_moves
from sgdtheory.landscapes.precision import apart_in_training
from sgdtheory.landscapes.rows_apart import examples_apart, rows_apart
from sgdtheory.landscapes.slopes_apart import singles_apart, slopes_apart
from sgdtheory.landscapes.written import as_written
from sgdtheory.protocol import TensorsByName, by_autograd, value_and_grad
from sgdtheory.rng import stream
from sgdtheory.roles.facts import decay_gradient
from sgdtheory.statistics.numbers import in_short

if TYPE_CHECKING:
    from sgdtheory.landscapes.mini_batch import MiniBatch
    from sgdtheory.landscapes.network import Network

EXAMPLES = 24  # seen by a check; with batch norm enough for statistics of one pixel
FEW = 4  # of them, where a gradient is looked at that any number of examples shows alike
NORMED = 12  # the same with batch norm, which amplifies rounding where it sees few values; and
# where the loss that is descended is held against the score, for two points
SHAKE = 0.1  # of a random start: no scale or bias is left at zero, which would hide what it scales


def self_check(landscape: "Network", dtype: torch.dtype) -> str:
    """What was found, in words; UserError where a check fails.

    The same point twice has the same bits, whatever was evaluated between; no part draws random
    numbers, changes its buffers or sees other rows of a batch, and no loss does; on one part of the
    data the loss that is descended is the loss that is scored; `model_at` gives what was scored;
    the outputs are finite logits; the gradient is finite and the derivative of the loss, in float32
    too, and products are the derivatives of the gradient; several points at once, and examples in a
    batch, are what each is alone, and a gradient that is written down is autograd's.
    """
    few = landscape.scored_on(EXAMPLES)
    cloud = few.init(2, stream(0, "check")).double()
    shakes = torch.randn(cloud.shape, generator=stream(0, "shake"), dtype=cloud.dtype)
    cloud += SHAKE * shakes.to(cloud)
    try:
        refuse_large_inputs(few, dtype)
        statistics, outputs = _finite_outputs(few, cloud[0])
        _buffers_stay(few)
        _same_bits(few, cloud)
        _same_bits(few, cloud.to(dtype))
        apart = rows_apart(few, cloud[0], statistics, outputs)
        gap = _descends_what_it_scores(few, cloud)
        given = _gives_what_it_scores(few, cloud)
        alone = _points_apart(few, cloud)
        by_hand = _by_hand_apart(few, cloud)
        batch = few.first_batch(NORMED if few.function.has_batch_norm else FEW)
        products = slopes_apart(few, cloud[0], batch)
        examples_apart(few, cloud[0])
        singles_apart(few, cloud[0])
        mixed = apart_in_training(few, cloud[:1].float())
    except UserError:
        raise
    except Exception as fault:  # of whatever kind: it is a stranger's code
        raise UserError(
            f"model: {few.function.name} fails in float64 or {dtype} ({in_a_line(fault, 160)}); "
            f"it must take any inputs of the data, in the dtype of its weights"
        ) from fault
    between = [in_short(distance, 1) for distance in (gap, given, apart, alone)]
    return (
        "same bits twice; descended − scored {}, model_at − scored {}, "
        "rows apart to {}, points to {}".format(*between)
        + f"{by_hand}{products}{mixed}"
    )


def _buffers_stay(few: "Network") -> None:
    """No buffer is drawn anew by each construction, and none is moved by passes in training
    mode."""
    function = few.function
    module = function.fresh(stream(0, "module")).to(few.device)
    own = constants_of(module, function.shapes)
    drawn = constants_of(function.plain, function.shapes)
    for name, value in drawn.items():
        if name not in own or not torch.equal(own[name], value):
            raise UserError(
                f"model: {name} of {function.name} is different each time the network is made; "
                f"{REFUSED}: draw it from torch's own generator, or store it"
            )
    refuse_what_training_moves(few, module, own)


def _same_bits(few: "Network", cloud: Tensor) -> None:
    """The same point has the same bits again, also after another point; nothing is drawn, nothing
    is kept."""
    examples, _ = few.examples("train")
    images = examples[:FEW]
    batch = few.first_batch(FEW)
    function = few.function
    constants = function.constants_in(cloud.dtype)
    before = {name: value.clone() for name, value in constants.items()}
    drawn = _generators()
    first = _evaluated(few, cloud[:1], batch, images)
    if drawn != _generators():
        what = "draws random numbers in evaluation mode"
        raise UserError(refusal(few, cloud[0], what))
    _evaluated(few, cloud[1:], batch, images)
    again = _evaluated(few, cloud[:1], batch, images)
    for name, value in function.constants_in(cloud.dtype).items():
        if not torch.equal(value, before[name]):
            raise UserError(
                f"model: {name} of {function.name} is changed by a pass in evaluation "
                f"mode; {REFUSED}"
            )
    pairs = zip(first, again, strict=True)
    if not all(torch.equal(one, other) for one, other in pairs):
        what = "gives other numbers at the same point"
        raise UserError(refusal(few, cloud[0], what))


def _evaluated(few: "Network", cloud: Tensor, batch: "MiniBatch", images: Tensor) -> list[Tensor]:
    """Loss, gradient and scored outputs of one point."""
    value, gradient = value_and_grad(few, cloud, batch)
    if not bool(torch.isfinite(gradient).all()):
        raise UserError(
            f"model: the gradient of {few.function.name} at a random point is not finite; "
            f"see its initialisation and its data"
        )
    theta = cloud[0]
    outputs = few.outputs_with(theta, few.statistics(theta), images)
    of_data = gradient - decay_gradient(few, cloud)
    if not bool(of_data.any()):
        raise UserError(without_slope(few, outputs))
    return [value, gradient, outputs]


def _finite_outputs(few: "Network", theta: Tensor) -> tuple[TensorsByName, Tensor]:
    """Batch norm's statistics and the outputs [N, …] at θ [n]; UserError where these are not
    finite."""
    inputs, _ = few.examples("train")
    statistics = few.statistics(theta)
    outputs = few.outputs_with(theta, statistics, inputs)
    model = few.function.name
    are_finite = outputs.is_floating_point() and bool(torch.isfinite(outputs).all())
    if not are_finite:
        raise UserError(f"model: outputs of {model} at a random point are not finite")
    return statistics, outputs


def _descends_what_it_scores(few: "Network", cloud: Tensor) -> float:
    """How much the loss that is descended differs from the one scored with the same statistics."""
    gaps = []
    for theta in cloud:
        gap = few.gap(theta, NORMED).value
        gaps.append(inf if gap is None else gap)
    worst = max(gaps)
    batch = few.first_batch(NORMED)
    with torch.no_grad():
        loss = few.losses(cloud[:1], batch)
    size = float(loss.abs())
    if not worst <= ROUNDING * (1 + size):
        raise UserError(
            f"model: what is descended and what is scored differ by {worst:.2g} nats on the same "
            f"examples of {few.function.name}; only batch norm may differ between the two"
        )
    return worst


def _gives_what_it_scores(few: "Network", cloud: Tensor) -> float:
    """How much `model_at`, a module made anew, differs from the scores, at one point after
    another."""
    some, targets = few.examples("train")
    worst = 0.0
    for theta in cloud:
        score = few.score(theta[None], "train")
        module = few.model_at(theta)
        with torch.no_grad(), as_written(theta.dtype):
            inputs = few.data.prepared(some, theta.dtype)
            outputs = few.function.outputs_of(module, inputs)
        of_point = outputs.double()[None]
        expected = few.loss.losses(of_point, targets[None])
        difference = relative_difference(score.losses, expected)
        worst = max(worst, difference)
    if worst > ROUNDING:
        raise UserError(
            f"model: {few.function.name} made anew with the same weights differs by {worst:.2g} "
            f"from the one that was scored: something is kept from other weights; {REFUSED}"
        )
    return worst


def _points_apart(few: "Network", cloud: Tensor) -> float:
    """How much the losses of points evaluated together differ from those of each alone; in a loop
    each is alone."""
    if few.rows == "loop":
        return 0.0
    examples = torch.arange(EXAMPLES, device=few.device) % few.count
    shared = examples[None]
    own = torch.stack([examples, examples.flip(0)])
    on_shared = _apart(few, cloud, shared)
    worst = max(on_shared, _apart(few, cloud, own))
    if worst > ROUNDING:
        raise UserError(
            f"model: several points of {few.function.name} evaluated together differ by "
            f"{worst:.2g} from each alone; use landscape.rows=loop"
        )
    return worst


def _by_hand_apart(few: "Network", cloud: Tensor) -> str:
    """How much losses and gradients that are computed together differ from what autograd makes of
    the losses, in words; empty where they are autograd's."""
    if not few.is_by_hand:
        return ""
    batch = few.first_batch(EXAMPLES)
    found = value_and_grad(few, cloud, batch)
    expected = by_autograd(lambda leaf: few.losses(leaf, batch), cloud)
    pairs = zip(found, expected, strict=True)
    worst = max(relative_difference(ours, autograds) for ours, autograds in pairs)
    if not worst <= ROUNDING:
        raise UserError(
            f"model: losses and gradients by hand of {few.function.name} differ by {worst:.2g} "
            f"from autograd's; use landscape.rows=vmap"
        )
    return f", by hand to {in_short(worst, 1)}"


def _apart(few: "Network", cloud: Tensor, examples: Tensor) -> float:
    """How much losses and gradients of points on examples [P or 1, b] differ from those of each
    alone."""
    together = value_and_grad(few, cloud, few.batch(examples))
    alone = []
    for p, theta in enumerate(cloud):
        rows = examples[p % len(examples)]
        batch = few.batch(rows[None])
        alone.append(value_and_grad(few, theta[None], batch))
    differences = []
    for found, each in zip(together, zip(*alone, strict=True), strict=True):
        differences.append(relative_difference(found, torch.cat(each)))
    return max(differences)


def _generators() -> tuple[object, ...]:
    """Where the process's own random generators stand."""
    _, keys, position, *_ = np.random.get_state()
    of_numpy = bytes(np.asarray(keys))
    of_torch = torch.default_generator.get_state().numpy()
    return bytes(of_torch), random.getstate(), of_numpy, position
