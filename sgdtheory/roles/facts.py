"""Single facts that a landscape may state, with what holds where it states none."""

from typing import Protocol

import torch
from torch import Tensor
from typing_extensions import TypeIs

from sgdtheory.protocol import Cloud, Landscape, TensorsByName
from sgdtheory.roles.asking import has, of
from sgdtheory.statistics.measured import Measured


class StatesRate(Landscape, Protocol):
    """A learning rate that is known to work; None: it is to be measured."""

    def learning_rate(self) -> float | None: ...


def states_rate(landscape: Landscape) -> TypeIs[StatesRate]:
    return has(landscape, "learning_rate")


def scored_count_of(landscape: Landscape) -> int | None:
    """How many training examples a score is of; None where that is not stated."""
    scored: int | None = of(landscape, "scored")
    return scored


def rows_at_once_of(landscape: Landscape) -> int | None:
    """How many points a call may take together; None: all."""
    rows: int | None = of(landscape, "rows_at_once")
    return rows


def device_of(landscape: Landscape) -> torch.device:
    """Where a landscape computes."""
    return torch.device(of(landscape, "device", "cpu"))


def title_of(landscape: object, default: str | None = None) -> str:
    """What a landscape is called in words that people read; by default the name of its class."""
    return str(of(landscape, "title", default or type(landscape).__name__))


def unit_of_loss(landscape: object) -> str:
    """Nats, or empty: of the loss of examples."""
    return str(of(of(landscape, "loss"), "unit", ""))


def error_of_loss(landscape: object) -> str:
    """What the errors beside the loss are called: of classes "error"."""
    return str(of(of(landscape, "loss"), "error", "error"))


def weight_decay_of(landscape: Landscape) -> float:
    """λ of ½λ|θ|²; 0 where none is stated."""
    return float(of(landscape, "weight_decay", 0.0))


def penalty_of(landscape: Landscape, cloud: Cloud) -> Tensor:
    """½λ|θ|² [P] of the points of a cloud [P, n], as far as they decay."""
    penalty = of(landscape, "penalty")
    if penalty is None:
        return 0.5 * weight_decay_of(landscape) * cloud.square().sum(1)
    found: Tensor = penalty(cloud)
    return found


def decay_gradient(landscape: Landscape, cloud: Cloud) -> Tensor:
    """The gradients [P, n] of `penalty_of`."""
    with torch.enable_grad():
        points = cloud.detach().requires_grad_()
        (gradients,) = torch.autograd.grad(penalty_of(landscape, points).sum(), points)
    return gradients


def shapes_of(landscape: Landscape) -> dict[str, torch.Size]:
    """The shapes of parameters by name, in their order in θ; empty where they have no names."""
    return dict(of(landscape, "shapes", {}))


def decays_alike(landscape: Landscape) -> bool:
    """Whether λ acts on every coordinate, so that it moves every eigenvalue by λ."""
    return bool(of(landscape, "decay", "all") == "all")


def decay_of_curvature(landscape: Landscape) -> float:
    """By how much weight decay moves every eigenvalue of the Hessian: λ where it acts on every
    coordinate, else 0."""
    return weight_decay_of(landscape) if decays_alike(landscape) else 0.0


def augmentation_of(landscape: Landscape) -> str:
    """What is done to the examples of mini-batches; none where there are none."""
    return str(of(of(landscape, "data"), "augment", "none"))


def constants_of(landscape: Landscape) -> TensorsByName:
    """Frozen parameters and buffers […] that a network computes with; empty for most."""
    return dict(of(landscape, "constants", {}))


def constant_loss_of(landscape: Landscape) -> float | None:
    """The training loss of the best prediction that is the same for all examples."""
    asked = of(landscape, "constant_loss")
    return None if asked is None else float(asked())


def lowest_loss_of(landscape: Landscape) -> float | None:
    """What no training loss can go below: above 0 where targets are smoothed or soft; None where
    that is not stated."""
    asked = of(landscape, "lowest_loss")
    lowest: float | None = None if asked is None else asked()
    return lowest


def objective_gap(landscape: Landscape, theta: Tensor) -> Measured:
    """|loss descended − loss scored| at one point θ [n] on one part of the data, nats: rounding
    alone, where a landscape is one function of its parameters; a formula has no examples."""
    gap = of(landscape, "gap")
    if gap is None:
        return Measured.nothing("a formula has no examples")
    found: Measured = gap(theta)
    return found


def self_check_of(landscape: object, dtype: str) -> str | None:
    """What the self-check of a landscape found; None where it has none. UserError where it
    fails."""
    check = of(landscape, "check")
    return None if check is None else str(check(dtype))
