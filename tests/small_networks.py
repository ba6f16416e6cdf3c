"""Small networks that several test files know."""

from functools import partial

from sgdtheory.data.polynomial import polynomial
from sgdtheory.landscapes.network import Network
from sgdtheory.models.mlp import MLP


def regression(degree: int = 2, hidden: tuple[int, ...] = (4, 4), examples: int = 128) -> Network:
    """The sigmoid network on a polynomial of Freeman & Bruna 2017 (1611.01540, Section 4.1)."""
    model = partial(MLP, hidden=hidden, activation="sigmoid", init="normal")
    return Network(model, polynomial(degree, examples), 0.0, "mse", 0.1)
