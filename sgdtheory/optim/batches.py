"""Mini-batches that there are examples for: asked before any unit is begun."""

from sgdtheory.errors import UserError
from sgdtheory.protocol import Landscape
from sgdtheory.roles.examples import count_of


def refuse_batch(landscape: Landscape, batch_size: int | None, key: str = "sgd.batch_size") -> None:
    """Refuse a mini-batch of more than the training examples; `key` is what the user writes it as.

    Nothing is refused of the whole objective, or of a landscape without examples.
    """
    count = count_of(landscape)
    if count is not None and batch_size is not None and batch_size > count:
        raise UserError(
            f"{key}={batch_size} is more than the {count:,} training examples; make it smaller"
        )
