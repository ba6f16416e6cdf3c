"""The spectrum of the Hessian: its largest eigenvalues, its trace, how much of it is flat, how much of it is negative."""

from dataclasses import dataclass

import torch
from scipy.sparse.linalg import ArpackError
from torch import Tensor

from sgdtheory.curvature import Density, density
from sgdtheory.kinds import Count, Positive, Whole
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.measured import Measured
from sgdtheory.streams import stream


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues h_i of H = ∇²L, L the whole objective with ½λ|θ|², at each point of a cloud (Sagun et al. 2017, 1706.04454).

    The `top` largest by Lanczos, to 1e-6: their errors are rounding. Of all others what `probes` random vectors see in
    `steps` products each (stochastic Lanczos quadrature, Ghorbani et al. 2019, 1901.10159), with standard errors over probes.
    Up to 256 parameters all eigenvalues are computed, and nothing has an error.

    Gives `top_eigenvalue` and `eigenvalue_2` …; `trace`; `flat_fraction`, the share of |h| < flat·h_max; with weight decay
    also `flat_fraction_data`, the same of the data loss alone, whose h is λ lower: at λ > flat·h_max the first says nothing
    of the data; `negative_eigenvalues`, how many h < −√n·ε·h_max with ε of the cloud's dtype, below which signs are
    rounding. No numbers where Lanczos does not converge.
    """

    top: Count = 10
    probes: Count = 6
    steps: Count = 60
    flat: Positive = 1e-3
    seed: Whole = 0

    def __call__(self, landscape: Landscape, cloud: Cloud) -> list[dict[str, Measured]]:
        return [self._row(landscape, theta) for theta in cloud]

    def _row(self, landscape: Landscape, theta: Tensor) -> dict[str, Measured]:
        top = min(self.top, theta.numel())
        if not bool(torch.isfinite(theta).all()):
            return self._nothing(top, "the point is not finite")
        try:
            found = density(landscape, theta, top, self.probes, self.steps, stream(self.seed, "spectrum"))
        except ArpackError as fault:
            return self._nothing(top, f"Lanczos did not converge: {fault}")
        return self._columns(found, top, float(getattr(landscape, "weight_decay", 0.0)), float(torch.finfo(theta.dtype).eps))

    def _columns(self, found: Density, top: int, decay: float, eps: float) -> dict[str, Measured]:
        largest = float(found.known[0])
        flat, rounding = self.flat * largest, found.dim**0.5 * eps * float(found.known.abs().max())
        columns = {name: Measured(float(h)) for name, h in zip(_names(top), found.known, strict=False)}
        columns |= {"trace": found.total(lambda h: h), "flat_fraction": found.share(-flat, flat)}
        if decay:
            flat = self.flat * (largest - decay)
            columns["flat_fraction_data"] = found.share(decay - flat, decay + flat)
        negative = found.below(-rounding)
        if negative.stderr is not None:  # one in n directions is seen by chance only
            negative = negative._replace(stderr=max(1.0, negative.stderr))
        return columns | {"negative_eigenvalues": negative}

    def _nothing(self, top: int, why: str) -> dict[str, Measured]:
        return {name: Measured.nothing(why) for name in (*_names(top), "trace", "flat_fraction", "negative_eigenvalues")}


def _names(top: int) -> list[str]:
    return ["top_eigenvalue", *(f"eigenvalue_{i}" for i in range(2, top + 1))]
