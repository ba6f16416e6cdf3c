"""Randomness as an argument: every draw is a pure function of (seed, names, step)."""

from hashlib import blake2b

import torch


def key(seed: int, *names: object) -> int:
    """A 63-bit number that depends on the seed and on every name in order; different names never
    collide in practice."""
    words = map(str, (seed, *names))
    text = "\x1f".join(words)
    digest = blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def stream(seed: int, *names: object) -> torch.Generator:
    """A fresh generator on the CPU for one purpose, e.g. `stream(seed, "batch", block)`.

    Two streams with different names are independent; the same seed and names give the same draws on
    every machine, so a resumed run needs no generator state.
    """
    generator = torch.Generator()
    generator.manual_seed(key(seed, *names))
    return generator
