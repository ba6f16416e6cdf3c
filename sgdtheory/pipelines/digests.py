"""What a point is known by, whatever file it came from."""

import hashlib

import torch
from torch import Tensor

from sgdtheory.runs.tensors import Tensors


def digest_of(theta: Tensor) -> str:
    """SHA-256 of the numbers of a tensor [any shape]."""
    flat = theta.detach().cpu().contiguous().reshape(-1)
    content = flat.view(torch.uint8).numpy()
    return hashlib.sha256(content.tobytes()).hexdigest()


def digest_of_all(tensors: Tensors) -> str:
    """SHA-256 of tensors [any shapes] by name."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        shape = tuple(value.shape)
        content = digest_of(value)
        line = f"{name} {value.dtype} {shape} {content}\n"
        digest.update(line.encode())
    return digest.hexdigest()
