"""What stands in a run's file of minima beside the points: what is not trained, and statistics."""

from collections.abc import Mapping

from sgdtheory.errors import UserError
from sgdtheory.pipelines.checkpoints.state_dict import same_bits
from sgdtheory.pipelines.checkpoints.weights import NARROW, as_constant
from sgdtheory.protocol import Cloud, Landscape, TensorsByName
from sgdtheory.roles.examples import network_of
from sgdtheory.roles.facts import constants_of
from sgdtheory.runs.tensors import Tensors

CLOUD = "minima"  # the points [P, n]
STARTS = "starts"  # of a sweep: the points [P, n] that it was given
CONSTANT = "constants."  # before the names of constants
STATISTIC = "statistics."  # before a point's number and the names of its statistics


def constants_to_keep(landscape: Landscape) -> TensorsByName:
    """What a landscape computes with and does not train [their own shapes], by the names it has in
    a run's file of minima; 16-bit numbers as float32, which numpy reads too."""
    kept = {}
    for name, value in constants_of(landscape).items():
        if value.dtype in NARROW:
            value = value.float()
        kept[f"{CONSTANT}{name}"] = value
    return kept


def kept_beside(landscape: Landscape, starts: Cloud | None) -> TensorsByName:
    """What a run's file of minima holds beside them: constants, and the points [P, n] that were
    given where those are others."""
    kept = constants_to_keep(landscape)
    if starts is None:
        return kept
    return {STARTS: starts, **kept}


def statistics_to_keep(statistics: list[TensorsByName | None]) -> TensorsByName:
    """Each point's own statistics of batch norm [channels], by the names that they have there."""
    kept = {}
    for point, own in enumerate(statistics):
        for name, value in (own or {}).items():
            kept[f"{STATISTIC}{point}.{name}"] = value
    return kept


def with_kept_constants(landscape: Landscape, tensors: Tensors, where: str) -> Landscape:
    """The landscape with the constants [their own shapes] that a run's file of minima holds."""
    constants = constants_beside(tensors, landscape, where)
    if are_own(landscape, constants):
        return landscape
    network = network_of(landscape)
    return network.with_constants({**network.constants, **constants})


def are_own(landscape: Landscape, constants: Tensors) -> bool:
    """Whether constants [their own shapes] are those of the landscape, to the bit."""
    own = constants_of(landscape)
    return all(same_bits(value, own[name]) for name, value in constants.items())


def constants_beside(content: object, landscape: Landscape, where: str) -> TensorsByName:
    """The constants [their own shapes] in a file of minima; UserError where they are not this
    landscape's."""
    own = constants_of(landscape)
    kept = _tensors_named(content, CONSTANT)
    if strange := sorted(set(kept) - set(own)):
        names = ", ".join(strange[:3])
        raise UserError(f"{where} is not of this model: it has {names}, which is not trained there")
    constants = {}
    for name, value in kept.items():
        constants[name] = as_constant(name, value, own[name], where)
    return constants


def statistics_beside(content: object, point: int) -> TensorsByName | None:
    """A point's own statistics of batch norm [channels] in a file of minima; None where there are
    none."""
    kept = _tensors_named(content, f"{STATISTIC}{point}.")
    if not kept:
        return None
    return {name: value.clone() for name, value in kept.items()}


def _tensors_named(content: object, prefix: str) -> TensorsByName:
    """The tensors in what a file holds whose names begin so, by the rest of their names."""
    tensors: TensorsByName = {}
    if not isinstance(content, Mapping):
        return tensors
    for name, value in content.items():
        word = str(name)
        if word.startswith(prefix):
            tensors[word.removeprefix(prefix)] = value
    return tensors
