"""Softmax regression: a convex landscape."""

from sgdtheory.annotations import PositiveInt, Shape
from sgdtheory.models.mlp import MLP


class Linear(MLP):
    """Logits W x + b: an MLP without hidden layers. Cross-entropy is convex in W, b: with weight
    decay, one minimum."""

    def __init__(self, shape: Shape, classes: PositiveInt) -> None:
        super().__init__(shape, classes, hidden=())
