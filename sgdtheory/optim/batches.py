"""Mini-batches that there are examples for: asked before any unit is begun."""

from sgdtheory.errors import UserError
from sgdtheory.protocol import Landscape
from sgdtheory.roles.examples import count_of
from sgdtheory.roles.facts import augmentation_of


def refuse_batch(landscape: Landscape, batch_size: int | None, key: str = "sgd.batch_size") -> None:
    """Refuse a mini-batch of more than the training examples, and the whole objective where images
    are augmented, which is none of random images; `key` is what the user writes it as.

    Nothing is refused of a landscape without examples.
    """
    count = count_of(landscape)
    if count is not None and batch_size is not None and batch_size > count:
        raise UserError(
            f"{key}={batch_size} is more than the {count:,} training examples; make it smaller"
        )
    if batch_size is None and augmentation_of(landscape) != "none":
        raise UserError(
            f"data.augment: {key}=null is the objective of all images as they are, none of which "
            f"is augmented; give a batch size, or use data.augment=none"
        )


def refuse_augmented(landscape: Landscape) -> None:
    """Refuse random images where SGD is held against the objective, which is of images as they
    are: against its minimum, its curvature, or its descent."""
    if augmentation_of(landscape) != "none":
        raise UserError(
            "data.augment: with random images the minimum of the objective is not known; use none"
        )
