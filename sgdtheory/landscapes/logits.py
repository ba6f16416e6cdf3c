"""A network's outputs among what a forward pass returns."""

from collections.abc import Mapping

from torch import Tensor

from sgdtheory.errors import UserError


def logits_of(outputs: object, entry: str | int | None = None) -> Tensor:
    """The outputs [b, …] among what a forward pass returned: the entry of this name or number, or
    without one itself, or what is called `logits`."""
    if entry is not None:
        return _entry_of(outputs, entry)
    if isinstance(outputs, Tensor):
        return outputs
    logits = None
    if isinstance(outputs, Mapping):
        logits = outputs.get("logits")
    if logits is None:
        logits = getattr(outputs, "logits", None)
    if logits is None and isinstance(outputs, tuple | list):
        tensors = [x for x in outputs if isinstance(x, Tensor)]
        if len(tensors) == 1:
            logits = tensors[0]
    if not isinstance(logits, Tensor):
        raise UserError(
            f"model: forward returns {_words(outputs)}; return the logits [b, classes] alone, "
            f"or under the name logits, or say landscape.entry="
        )
    return logits


def _entry_of(outputs: object, entry: str | int) -> Tensor:
    named = None
    if isinstance(entry, int) and isinstance(outputs, tuple | list):
        count = len(outputs)
        if -count <= entry < count:
            named = outputs[entry]
    elif isinstance(outputs, Mapping):
        named = outputs.get(entry)
    elif isinstance(entry, str):
        named = getattr(outputs, entry, None)
    if not isinstance(named, Tensor):
        raise UserError(
            f"landscape.entry={entry}: forward returns {_words(outputs)}, and no tensor is called "
            f"so among it"
        )
    return named


def _words(outputs: object) -> str:
    kind = type(outputs).__name__
    if isinstance(outputs, Mapping):
        keys = list(outputs)[:4]
        words = ", ".join(map(str, keys))
        return f"a {kind} of {words or 'nothing'}"
    if isinstance(outputs, tuple | list):
        kinds = [type(x).__name__ for x in outputs[:4]]
        return f"a {kind} of {', '.join(kinds)}"
    return f"a {kind}"
