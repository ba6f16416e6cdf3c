"""The logits among what a forward pass returns."""

from collections.abc import Mapping

from torch import Tensor

from sgdtheory.errors import UserError


def logits_of(outputs: object) -> Tensor:
    """The logits [b, K, …] among what a forward pass returned: itself, or its entry `logits`."""
    if isinstance(outputs, Tensor):
        return outputs
    named = outputs.get("logits") if isinstance(outputs, Mapping) else None
    logits = named if named is not None else getattr(outputs, "logits", None)
    if logits is None and isinstance(outputs, tuple | list):
        tensors = [x for x in outputs if isinstance(x, Tensor)]
        logits = tensors[0] if len(tensors) == 1 else None
    if not isinstance(logits, Tensor):
        raise UserError(
            f"model: forward returns {_words(outputs)}; return the logits [b, classes] alone, "
            f"or under the name logits"
        )
    return logits


def _words(outputs: object) -> str:
    kind = type(outputs).__name__
    if isinstance(outputs, Mapping):
        return f"a {kind} of {', '.join(map(str, list(outputs)[:4])) or 'nothing'}"
    if isinstance(outputs, tuple | list):
        return f"a {kind} of {', '.join(type(x).__name__ for x in outputs[:4])}"
    return f"a {kind}"
