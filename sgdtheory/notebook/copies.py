"""Fresh modules made after one that was given, which itself stays out of it."""

from collections.abc import Callable
from copy import deepcopy

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sgdtheory.annotations import Shape
from sgdtheory.errors import UserError, in_a_line


def maker_of_copies(module: nn.Module) -> Callable[..., nn.Module]:
    """Makes copies of a module as it is now, float32 on the CPU, each with new random numbers in
    those trained parameters that its parts' `reset_parameters` draw.

    All else is as it was given: what a `reset_parameters` does to buffers and plain attributes is
    not taken over. Raises UserError for a module that cannot be copied.
    """
    template = _copy_of(module)

    def copied(shape: Shape, classes: int) -> nn.Module:
        fresh = _copy_of(template)
        drawn = dict(_drawn(template).named_parameters())
        for name, parameter in fresh.named_parameters():
            other = drawn.get(name)
            if other is None or not parameter.requires_grad or is_lazy(parameter):
                continue
            if other.shape == parameter.shape:
                parameter.data.copy_(other.data)
        return fresh

    return copied


def _copy_of(module: nn.Module) -> nn.Module:
    """A copy in float32 on the CPU; tensors that hooks write anew in every pass, as pruning and
    weight norm do, are copied without how they were computed, which torch refuses to copy."""
    computed: dict[int, Tensor] = {}
    for part in module.modules():
        for value in (*vars(part).values(), *part._buffers.values()):
            if isinstance(value, Tensor) and not value.is_leaf:
                computed[id(value)] = value.detach().clone()
    try:
        return deepcopy(module, dict(computed)).cpu().float()
    except Exception as fault:  # of whatever kind: it is a stranger's code
        kind = type(module).__name__
        raise UserError(
            f"landscape: {kind} cannot be copied ({in_a_line(fault, 160)}); give a function that "
            f"makes it, such as lambda: {kind}(…)"
        ) from fault


def _drawn(template: nn.Module) -> nn.Module:
    """Another copy, on which `reset_parameters` were called, as far as they need no arguments.

    Those of a part's class alone: a function in an attribute may be about the given module.
    """
    drawn = _copy_of(template)
    for part in drawn.modules():
        reset = getattr(type(part), "reset_parameters", None)
        if callable(reset):
            try:
                reset(part)
            except Exception:
                continue  # of a stranger's: this part begins where the given one stands
    return drawn
