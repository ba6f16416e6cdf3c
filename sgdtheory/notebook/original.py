"""A module that was given, asked itself: is the landscape of the function that it computes?"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sgdtheory.errors import UserError
from sgdtheory.landscapes.batch_norm import batch_norms_of
from sgdtheory.landscapes.module_parts import statistics_names
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.written import as_written, drawing_from
from sgdtheory.protocol import TensorsByName
from sgdtheory.rng import stream
from sgdtheory.statistics.numbers import in_short

EXAMPLES = 8  # of the training set; one would do but for networks that are silent on some
# relative: the two do the same operations in the same order. Of 16-bit numbers, and on another
# device, which may multiply in less than float32, they do not
SAME, ALIKE = 1e-3, 0.2


class _Answer(NamedTuple):
    """What a function says at one point."""

    outputs: Tensor  # [b, …]
    gradients: Tensor | None  # [n] of a random sum of the outputs; None where none can be had


def refuse_other_function(
    landscape: Network, module: nn.Module, point: Tensor | None = None
) -> None:
    """Raise UserError where a module in evaluation mode gives other outputs than the landscape has
    at its weights, or another gradient; it was given as a `point` θ [n], or the landscape was made
    of it.

    The landscape computes with a copy, or with another module: what a function closes over, and
    what is no parameter or buffer, may be another one there. Of batch norm both take the module's
    own statistics. A module that cannot be asked on its own is not compared.
    """
    if any(map(is_lazy, (*module.parameters(), *module.buffers()))):
        return
    theta = landscape.vector(module) if point is None else point
    module = _unwrapped(module)
    dtypes = {p.dtype for p in module.parameters() if p.is_floating_point()}
    dtype = torch.float64 if dtypes == {torch.float64} else torch.float32
    is_narrow = bool(dtypes & {torch.float16, torch.bfloat16})
    own = _of_module(landscape, module, next(iter(dtypes)) if len(dtypes) == 1 else dtype)
    found = _of_landscape(landscape, module, theta.to(landscape.device, dtype))
    if own is None or found is None:
        return
    is_exact = not is_narrow and _device(module).type == landscape.device.type
    most = SAME if is_exact else ALIKE
    what, apart = "outputs", _apart(own.outputs, found.outputs)
    if not apart > most and own.gradients is not None and found.gradients is not None:
        what, apart = "gradient", _apart(own.gradients, found.gradients)
    if apart > most:
        raise UserError(_words(module, what, apart, is_point=point is not None))


def _words(module: nn.Module, what: str, apart: float, is_point: bool) -> str:
    kind = type(module).__name__
    by = f"by {in_short(apart, 2)} of their size" if apart < inf else "in shape or beyond numbers"
    if is_point:
        return (
            f"a point: {what} of the {kind} itself and of the landscape at its weights differ "
            f"{by}; it computes with something else than the landscape's module, in a plain "
            f"attribute or a closure: make that a buffer, or make the landscape of this module"
        )
    return (
        f"landscape: {what} of the {kind} itself and of a copy of it differ {by}; a function in it "
        f"closes over what it computes with (a lambda, a hook), or it keeps some outside of "
        f"parameters and buffers: give a function that makes it, such as lambda: {kind}(…)"
    )


def _unwrapped(module: nn.Module) -> nn.Module:
    """What a module is in a wrapper that changes nothing: torch.compile, which would compile it
    now, or a split over devices."""
    inner = getattr(module, "_orig_mod", module)
    if isinstance(inner, nn.DataParallel | nn.parallel.DistributedDataParallel):
        inner = inner.module
    assert isinstance(inner, nn.Module)
    return inner


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


def _of_module(landscape: Network, module: nn.Module, dtype: torch.dtype) -> _Answer | None:
    """What the module itself says; None where it cannot be asked, for then nothing is known."""
    named = dict(module.named_parameters(remove_duplicate=False))
    weights = [named[name] for name in landscape.shapes if name in named]
    is_whole = len(weights) == len(landscape.shapes)
    try:
        inputs = _inputs(landscape, dtype).to(_device(module))
        with _asked(module), drawing_from(stream(0, "original")), torch.enable_grad():
            module.eval()
            for weight in weights:
                weight.requires_grad_()
            outputs = landscape.outputs_of(module, inputs)
            gradients = _gradients(outputs, weights) if is_whole else None
            return _Answer(outputs.detach().clone(), gradients)
    except Exception:
        return None


def _of_landscape(landscape: Network, module: nn.Module, theta: Tensor) -> _Answer | None:
    """What the landscape says at θ [n], its batch norms using the module's own statistics; None
    where it cannot use these, and where it fails, which the self-check tells."""
    statistics = _statistics(landscape, module, theta)
    if statistics is None:
        return None
    function, leaf = landscape.function, theta.detach().clone().requires_grad_()
    try:
        inputs = _inputs(landscape, theta.dtype)
        with torch.enable_grad(), as_written(theta.dtype), drawing_from(stream(0, "original")):
            weights = function.weights(leaf)
            if function.has_batch_norm and not statistics:
                outputs = function.on_batch(weights, inputs)
            else:
                outputs = function.with_statistics(weights, statistics, inputs)
            return _Answer(outputs.detach(), _gradients(outputs, [leaf]))
    except Exception:
        return None


def _statistics(landscape: Network, module: nn.Module, theta: Tensor) -> TensorsByName | None:
    """Those of a module's own batch norms [channels] by name, empty where none has any; None where
    some have, or where they are called otherwise than the landscape's."""
    norms = batch_norms_of(module)
    if norms.keys() != batch_norms_of(landscape.function.plain).keys():
        return None
    kept = [norm.running_mean is not None for norm in norms.values()]
    if any(kept) and not all(kept):
        return None
    statistics: TensorsByName = {}
    if not any(kept):
        return statistics
    buffers = dict(module.named_buffers())
    for name in statistics_names(module) & buffers.keys():
        value = buffers[name].detach()
        statistics[name] = value.to(theta) if value.is_floating_point() else value.to(theta.device)
    return statistics


def _inputs(landscape: Network, dtype: torch.dtype) -> Tensor:
    """A few inputs [b, …] of the training set as a network takes them."""
    few = landscape.data.train_inputs[:EXAMPLES].clone()
    return landscape.data.prepared(few, dtype)


def _gradients(outputs: Tensor, weights: list[nn.Parameter] | list[Tensor]) -> Tensor | None:
    """Of a random sum of outputs [b, …], [n]: unlike that of the loss it is not near 0 at a
    minimum, where rounding would be all of it."""
    if not outputs.requires_grad:
        return None
    draws = stream(0, "original signs")
    signs = torch.randn(outputs.shape, generator=draws, dtype=torch.float32)
    found = torch.autograd.grad(outputs, weights, signs.to(outputs), allow_unused=True)
    parts = []
    for gradient, weight in zip(found, weights, strict=True):
        some = torch.zeros_like(weight) if gradient is None else gradient
        parts.append(some.detach().reshape(-1).double().cpu())
    return torch.cat(parts)


def _apart(own: Tensor, found: Tensor) -> float:
    """|own − found| over the larger of the two, of tensors [any shape]; inf where only one is of
    numbers, or shapes differ."""
    if own.shape != found.shape:
        return inf
    one, other = own.double().cpu(), found.double().cpu()
    if not bool(one.isfinite().all()):
        return 0.0  # it is no network to compare with
    if not bool(other.isfinite().all()):
        return inf
    size = max(float(one.norm()), float(other.norm()))
    return float((one - other).norm()) / size if size else 0.0


@contextmanager
def _asked(module: nn.Module) -> Iterator[None]:
    """After this block a module is what it was: modes, plain attributes, numbers, and which
    parameters require a gradient."""
    attributes = {part: dict(vars(part)) for part in module.modules()}
    places: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for part in attributes:
        for own in (part._parameters, part._buffers):
            if isinstance(own, dict):  # torch.jit has others, in which nothing is exchanged
                places.append((own, dict(own)))
    numbers = []
    for tensor in (*module.parameters(), *module.buffers()):
        numbers.append((tensor, tensor.detach().clone(), tensor.requires_grad))
    modes = {part: part.training for part in attributes}
    try:
        yield
    finally:
        for part, before in attributes.items():
            _put_back(vars(part), before)
            if part.training != modes[part]:
                part.training = modes[part]
        for own, kept in places:
            _put_back(own, kept)
        for tensor, kept_numbers, required in numbers:
            if not torch.equal(tensor, kept_numbers):
                tensor.data.copy_(kept_numbers)
            if tensor.is_leaf:
                tensor.requires_grad_(required)


def _put_back(own: dict[str, Any], before: dict[str, Any]) -> None:
    """Make what a dictionary holds what it held before."""
    for name in own.keys() - before.keys():
        del own[name]
    for name, value in before.items():
        if own.get(name, own) is not value:
            own[name] = value
