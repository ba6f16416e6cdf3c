"""Descents that the theory of SGD's noise is about: of others it would be refuted by what they
are."""

from sgdtheory.errors import UserError
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD


def refuse_schedule(sgd: SGD, key: str = "sgd") -> None:
    """Raise UserError where the learning rate changes on the way; `key` is what the user writes the
    descent as."""
    if not isinstance(sgd.schedule, Constant):
        kind = type(sgd.schedule).__name__
        raise UserError(
            f"{key}.schedule: theory here is that of a constant learning rate, and {kind} changes "
            f"it; use schedule=constant"
        )


def refuse_others(sgd: SGD, key: str = "sgd") -> None:
    """Raise UserError for what is not SGD at a constant learning rate."""
    if type(sgd) is not SGD:
        kind = type(sgd).__name__
        raise UserError(f"{key}: theory here is that of SGD, and this is {kind}; use sgd=sgd")
    refuse_schedule(sgd, key)
