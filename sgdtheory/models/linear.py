"""Softmax regression: a convex landscape."""

from sgdtheory.annotations import Count
from sgdtheory.models.mlp import MLP


class Linear(MLP):
    """Logits W x + b: an MLP without hidden layers. Cross-entropy is convex in W, b: with weight
    decay, one minimum."""

    def __init__(self, shape: tuple[int, int, int], classes: Count) -> None:
        super().__init__(shape, classes, hidden=())
