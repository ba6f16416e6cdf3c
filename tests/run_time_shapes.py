"""The shapes of the landscape protocol, checked at run time in every test: whatever is derived of a
landscape passes through three functions of sgdtheory.protocol."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from torch import Tensor

from sgdtheory import protocol as gate

Derived = Callable[..., Any]


def check_shapes() -> None:
    """Have `values`, `value_and_grad` and `hvp` check what they take and give; before any module
    imports them by name."""
    gate.values = _checked(gate.values, lambda cloud, found: [(found, cloud.shape[:1])])
    gate.value_and_grad = _checked(
        gate.value_and_grad,
        lambda cloud, found: [(found[0], cloud.shape[:1]), (found[1], cloud.shape)],
    )
    gate.hvp = _checked(gate.hvp, lambda cloud, found: [(found, cloud.shape)])


def _checked(
    function: Derived, expected: Callable[[Tensor, Any], list[tuple[Tensor, Any]]]
) -> Derived:
    """The same function of (landscape, cloud [P, n], …), which asserts the shapes and dtypes of its
    results."""

    @wraps(function)
    def checked(landscape: Any, cloud: Tensor, *rest: Any, **named: Any) -> Any:
        assert cloud.ndim == 2 and cloud.shape[1] == landscape.dim, f"{cloud.shape} is no [P, n]"
        found = function(landscape, cloud, *rest, **named)
        for tensor, shape in expected(cloud, found):
            assert tensor.shape == shape and tensor.dtype == cloud.dtype, function.__name__
        return found

    return checked
