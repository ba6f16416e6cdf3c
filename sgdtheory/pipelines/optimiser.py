"""What `sgd=` chooses where the command says itself how long and with which mini-batches."""

from collections.abc import Callable, Iterable
from functools import partial

from sgdtheory.errors import UserError
from sgdtheory.optim.adam import Adam, AdamSettings
from sgdtheory.optim.adamw import AdamW
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.protocol import Landscape
from sgdtheory.roles.examples import is_scored
from sgdtheory.runs.plain import Facts, Json

Optimiser = Callable[..., SGD]
# what connect.yaml has there, as others say it: autoneb, and for curves baselines
ELSEWHERE = {"steps": 0, "batch_size": None, "nesterov": False, "sampling": "iid"}
# that Adam's settings alone say all of; of somebody's own Adam they would drop what is its own
ADAMS = (Adam, AdamW)
OF_SGD = {"learning_rate": "auto", "momentum": 0.9}


def kind_of(optimiser: Optimiser) -> Callable[..., SGD]:
    """The class of an optimiser that is not made yet."""
    return optimiser.func if isinstance(optimiser, partial) else optimiser


def name_of(kind: Callable[..., SGD]) -> str:
    """What a class, or a function that makes an optimiser, is called."""
    return str(getattr(kind, "__name__", kind))


def settings_of(optimiser: Optimiser) -> Json:
    """What has been set of it."""
    if isinstance(optimiser, partial):
        return dict(optimiser.keywords)
    return {}


def adam_of(optimiser: Optimiser | None) -> AdamSettings | None:
    """Adam's own settings; None of SGD.

    Raises UserError for another optimiser, and for what autoneb and baselines say themselves.
    """
    if optimiser is None:
        return None
    kind = kind_of(optimiser)
    given = settings_of(optimiser)
    usual = {**ELSEWHERE, **OF_SGD} if kind is SGD else ELSEWHERE
    for name, value in usual.items():
        if given.get(name, value) != value:
            raise UserError(f"sgd.{name}: of a band it is autoneb.{name}")
    if kind is SGD:
        return None
    if kind not in ADAMS:
        raise UserError(f"sgd: bands descend by sgd or adam, not by {name_of(kind)}")
    adam = optimiser(schedule=Constant())
    assert isinstance(adam, Adam)
    if adam.decoupled_decay:
        raise UserError(
            "sgd.decay beside the gradient would pull a band off its valley; use sgd=adam"
        )
    return AdamSettings(adam.rate, adam.momentum, adam.beta2, adam.epsilon)


def refuse_adam(adam: AdamSettings | None, landscape: Landscape, method: str) -> None:
    """UserError where a search descends by SGD alone."""
    if adam is None:
        return
    if method != "autoneb":
        raise UserError(f"sgd=adam: method={method} descends by SGD; leave it out")
    if not is_scored(landscape):
        raise UserError("sgd=adam: on a formula bands descend without noise, by SGD; leave it out")


def known_by(adam: AdamSettings | None) -> Json:
    """What an edge that Adam has found is known by besides."""
    if adam is None:
        return {}
    return {"adam": vars(adam)}


def without_repeats(science: Facts, own: Iterable[str]) -> Facts:
    """A configuration in which `sgd` says only what is the optimiser's `own`, and does not stand
    where that is nothing, as of SGD: the rest the command says in other keys."""
    kept = {name: value for name, value in science.items() if name != "sgd"}
    told = {name: science["sgd"][name] for name in own}
    return {**kept, "sgd": told} if told else kept
