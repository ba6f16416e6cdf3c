"""Which optimiser the cells of a sweep have, and what of it may be set there."""

from collections.abc import Mapping

from sgdtheory.errors import UserError
from sgdtheory.geometry.gradient_noise import is_additive
from sgdtheory.optim.adam import Adam
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.pipelines.optimiser import ADAMS, Optimiser, kind_of, name_of, settings_of
from sgdtheory.protocol import Landscape
from sgdtheory.temperature.cell import SecondMoment

SWEPT = {"learning_rate": "auto", "batch_size": None}  # what stands there for what is swept
USUAL = {"momentum": 0.0, "sampling": "iid", "steps": 60_000}  # of a sweep


def second_moment_of(
    optimiser: Optimiser, same: Mapping[str, object], landscape: Landscape
) -> SecondMoment | None:
    """How Adam averages squares; None of SGD. `same`: what the command has keys of its own for.

    Raises UserError for an optimiser whose temperature no law is known of, and for what is swept.
    """
    kind = kind_of(optimiser)
    given = settings_of(optimiser)
    for name, usual in SWEPT.items():
        if given.get(name, usual) != usual:
            raise UserError(f"sgd.{name} is swept here; give sweep.{name}=[…]")
    for name, own in same.items():
        if given.get(name, own) not in (own, USUAL[name]):
            raise UserError(f"sgd.{name}: {name}= is given too, and the two are one; leave one out")
    if not isinstance(given.get("schedule", Constant()), Constant):
        raise UserError("sgd.schedule: a temperature is of a constant rate; leave it out")
    if given.get("nesterov", False):
        raise UserError("sgd.nesterov: no law of its temperature is known; use false")
    if kind is SGD:
        return None
    if kind not in ADAMS:
        raise UserError(
            f"sgd: no law is known of the temperature of {name_of(kind)}; use sgd or adam"
        )
    adam = optimiser(learning_rate=1.0, batch_size=1, schedule=Constant())
    assert isinstance(adam, Adam)
    _refuse_adam(adam, landscape, str(same["sampling"]))
    return SecondMoment(adam.beta2, adam.epsilon)


def _refuse_adam(adam: Adam, landscape: Landscape, sampling: str) -> None:
    """Raise UserError where the law η/2√b is not Adam's."""
    if adam.decoupled_decay:
        raise UserError(
            "sgd.decay beside the gradient is no part of a loss that a temperature could be of; "
            "use sgd=adam with landscape.weight_decay, or sgd.decay=0"
        )
    if sampling != "iid":
        raise UserError(f"sampling={sampling}: the law η/2√b of Adam is of sampling=iid")
    if not is_additive(landscape):
        raise UserError(
            "sgd=adam: with batch norm no minimum is known that its cloud could be measured from; "
            "use sgd"
        )
