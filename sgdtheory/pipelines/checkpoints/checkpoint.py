"""How the weights in a file are found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Checkpoint:
    """How the state dict of a file is found: `key`, the entry that holds it (`ema`, `ema.model`);
    `prefix`, what stands before every name; None: both are found, and said. `strict`: names that
    the model does not have are refused."""

    key: str | None = None
    prefix: str | None = None
    strict: bool = True


AS_FOUND = Checkpoint()
