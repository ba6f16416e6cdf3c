"""Tensors as bytes: safetensors without metadata, whose order is random there, so that equal runs
are equal bytes. No torch at import."""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from sgdtheory.runs.digests import digest
from sgdtheory.runs.plain import Facts, Json, plain_object

if TYPE_CHECKING:
    from torch import Tensor

Tensors: TypeAlias = Mapping[str, "Tensor"]
State: TypeAlias = tuple[dict[str, "Tensor"], Json]  # tensors, and facts enough to go on from them
STAMP = "stamp"  # the tensor that vouches for the others


def packed(tensors: Tensors, facts: Facts | None = None) -> bytes:
    """A file of tensors. With `facts` it vouches for itself: the tensor "stamp" holds them together
    with a checksum of all."""
    from safetensors.torch import save

    content = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    if facts is not None:
        content[STAMP] = _stamp(facts, content)
    data: bytes = save(content)
    return data


def unpacked(data: bytes) -> "dict[str, Tensor]":
    """The tensors of a file, […] each. Raises ValueError where it is truncated or no such file, or
    holds numbers that cannot be read."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return {key: value.clone() for key, value in load(data).items()}
    except SafetensorError as fault:
        raise ValueError(str(fault)) from None
    except KeyError as fault:  # of kinds that this version does not know
        raise ValueError(f"numbers of kind {fault.args[0]}") from None


def split_stamp(tensors: Tensors) -> State | None:
    """(tensors, facts) of a file that was packed with facts; None where they disagree."""
    try:
        others = {key: value for key, value in tensors.items() if key != STAMP}
        facts: Json = json.loads(tensors[STAMP].numpy().tobytes())
        is_whole = facts.pop("checksum") == _checksum(others, facts)
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
    return (others, facts) if is_whole else None


def _checksum(tensors: Tensors, facts: Facts) -> str:
    total = hashlib.sha256(digest(facts).encode())
    for key, value in sorted(tensors.items()):
        total.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        total.update(value.numpy().tobytes())
    return total.hexdigest()


def _stamp(facts: Facts, tensors: Tensors) -> "Tensor":
    import torch

    known = plain_object(facts)
    text = json.dumps({**known, "checksum": _checksum(tensors, known)}, sort_keys=True)
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
