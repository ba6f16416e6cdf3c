"""Linear regression on the leading components of pictures, whose targets are noise alone."""

from typing import Annotated

import torch

from sgdtheory.annotations import NonNegative, NonNegativeInt, Place, PositiveInt
from sgdtheory.data.images import Images
from sgdtheory.landscapes.linear_regression import LinearRegression, Regression
from sgdtheory.rng import stream


class PlantedRegression(LinearRegression):
    """L(θ) = ½⟨(x·θ − y)²⟩, x the leading principal components of the pixels, scaled so that the
    largest curvature is 1, y = label_noise·ε with ε ~ N(0, 1), drawn once.

    A planted θ₀ would only move the origin. Without label noise every example is met at the
    minimum, where SGD has no noise left; so it is where there are no more examples than
    `components`: n is the rank of what is given. There is no weight decay, and no direction
    without curvature.
    """

    def __init__(
        self,
        data: Images,
        components: PositiveInt = 10,
        label_noise: NonNegative = 0.0,
        label_seed: NonNegativeInt = 0,
        device: Annotated[str, Place] = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.weight_decay = 0.0
        self.title = f"planted linear regression on {data.name}"
        pixels = data.scaled(data.train_inputs, torch.float64).flatten(1)
        left, sizes, _ = torch.linalg.svd(pixels, full_matrices=False)
        rank = int((sizes > 1e-9 * sizes[0]).sum())
        kept = min(components, rank)
        count = len(pixels)
        projections = left[:, :kept] * sizes[:kept]
        inputs = projections / sizes[0] * count**0.5
        source = stream(label_seed, "labels")
        draws = torch.randn(count, generator=source, dtype=torch.float64)
        self.inputs = inputs.to(self.device)  # X [N, n]
        self.targets = (label_noise * draws).to(self.device)  # y [N]
        self.count, self.dim = inputs.shape
        examples = Regression(self.inputs[None], self.targets[None])
        self._moved = {torch.float64: examples}
