"""Some examples of a data set, for each point of a cloud or for all of them."""

from typing import NamedTuple

from torch import Tensor


class MiniBatch(NamedTuple):
    inputs: Tensor  # [P or 1, b, …]
    targets: Tensor  # [P or 1, b, …]
