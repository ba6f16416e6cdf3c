"""A small CNN on a tenth of the digits, as words of a command and as a landscape."""

from functools import partial

from sgdtheory.data.digits import digits
from sgdtheory.landscapes.network import Network
from sgdtheory.models.cnn import CNN

WORDS = (
    "model=cnn",
    "model.width=2",
    "model.depth=1",
    "model.dense=8",
    "data.test_share=0.9",
    "executor.workers=1",
)
DATA = digits(0.9)
NET = Network(partial(CNN, width=2, depth=1, dense=8), DATA)
