"""The spectrum of the Hessian: its largest eigenvalues, its trace, how much of it is flat, how much
of it is negative."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from scipy.sparse.linalg import ArpackError
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.geometry.curvature import (
    DENSE,
    Leading,
    SpectralDensity,
    density,
    density_beside,
    leading,
)
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.rng import stream
from sgdtheory.roles import weight_decay_of
from sgdtheory.statistics.measured import Measured

APART, TOLD = 0.01, 0.1  # of an eigenvalue: how well it is known to be set apart, and to be told


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues h_i of H = ∇²L, L the whole objective with ½λ|θ|², at each point of a cloud
    (Sagun et al. 2017, 1706.04454).

    The `top` largest by Lanczos, to 1e-6: their errors are rounding. Of all others what `probes`
    random vectors see in `steps` products each (stochastic Lanczos quadrature, Ghorbani et al.
    2019, 1901.10159), with standard errors over probes. Up to 256 parameters all eigenvalues are
    computed, and nothing has an error.

    Gives `top_eigenvalue` and `eigenvalue_2` …; `trace`; `flat_fraction`, the share of |h| <
    flat·h_max; with weight decay also `flat_fraction_data`, the same of the data loss alone, whose
    h is λ lower: at λ > flat·h_max the first says nothing of the data; `negative_eigenvalues`, how
    many h < −√n·ε·h_max with ε of the cloud's dtype, below which signs are rounding. No numbers
    where Lanczos does not converge.
    """

    top: PositiveInt = 10
    probes: PositiveInt = 6
    steps: PositiveInt = 60
    flat: PositiveFloat = 1e-3
    seed: NonNegativeInt = 0

    def __call__(self, landscape: Landscape, cloud: Cloud) -> list[dict[str, Measured]]:
        return [self._row(landscape, theta) for theta in cloud]

    def within(self, products: int) -> "BriefSpectrum":
        """The same columns for so many Hessian-vector products a point."""
        return BriefSpectrum(
            self.top, self.probes, self.steps, self.flat, self.seed, products=products
        )

    def _row(self, landscape: Landscape, theta: Tensor) -> dict[str, Measured]:
        top = min(self.top, theta.numel())
        if not bool(torch.isfinite(theta).all()):
            return self._nothing(top, "the point is not finite")
        try:
            found = density(
                landscape, theta, top, self.probes, self.steps, stream(self.seed, "spectrum")
            )
        except ArpackError as fault:
            return self._nothing(top, f"Lanczos did not converge: {fault}")
        return self._columns(
            found, top, weight_decay_of(landscape), float(torch.finfo(theta.dtype).eps)
        )

    def _columns(
        self, found: SpectralDensity, top: int, decay: float, eps: float
    ) -> dict[str, Measured]:
        columns = {
            name: Measured(float(h)) for name, h in zip(_names(top), found.known, strict=False)
        }
        columns["trace"] = found.total(lambda h: h)
        return columns | self._shares(
            found, float(found.known[0]), float(found.known.abs().max()), decay, eps
        )

    def _shares(
        self, found: SpectralDensity, largest: float, size: float, decay: float, eps: float
    ) -> dict[str, Measured]:
        """What is flat and what is negative, against the largest eigenvalue; `size`: the largest
        there is of either sign."""
        flat, rounding = self.flat * largest, found.dim**0.5 * eps * size
        columns = {"flat_fraction": found.share(-flat, flat)}
        if decay:
            flat = self.flat * (largest - decay)
            columns["flat_fraction_data"] = found.share(decay - flat, decay + flat)
        negative = found.below(-rounding)
        if negative.stderr is not None:  # one in n directions is seen by chance only
            negative = negative._replace(stderr=max(1.0, negative.stderr))
        return columns | {"negative_eigenvalues": negative}

    def _nothing(self, top: int, why: str) -> dict[str, Measured]:
        return {
            name: Measured.nothing(why)
            for name in (*_names(top), "trace", "flat_fraction", "negative_eigenvalues")
        }


def _names(top: int) -> list[str]:
    return ["top_eigenvalue", *(f"eigenvalue_{i}" for i in range(2, top + 1))]


@dataclass(frozen=True)
class BriefSpectrum(Spectrum):
    """The columns of `Spectrum` from `products` Hessian-vector products in all, for points where
    each takes seconds.

    Three quarters of them are one Lanczos run from a random vector. Its largest Ritz values are the
      eigenvalues, as far as
    they are settled to a tenth of themselves; their errors are the bounds |Hu − hu|, within which
      an eigenvalue lies. The
    same run's quadrature says what is flat and what is negative: of many eigenvalues one vector
      sees the shares to
    √(2f(1−f)/n), and the gaps between its nodes are the error. The directions settled to 1 % are
      set apart for Tr H, and
    the other products see the rest, a random vector each: that is without bias whatever was set
      apart (Meyer et al. 2021,
    2010.09649), with the scatter over vectors as its error.

    """

    products: Annotated[int, Ge(8)] = 40

    def _row(self, landscape: Landscape, theta: Tensor) -> dict[str, Measured]:
        n, top = theta.numel(), min(self.top, theta.numel())
        if n <= DENSE or not bool(torch.isfinite(theta).all()):
            return super()._row(landscape, theta)
        spent = min(n, 3 * self.products // 4)
        found = leading(landscape, theta, min(top, spent), spent, stream(self.seed, "leading"))
        settled = found.bounds <= APART * found.values
        if not bool(settled[0]):
            return self._nothing(
                top, f"{spent} steps of Lanczos do not settle the largest eigenvalue to {APART:.0%}"
            )
        columns = {name: self._eigenvalue(i, found, spent) for i, name in enumerate(_names(top))}
        source, rest = stream(self.seed, "spectrum"), self.products - spent
        beside = density_beside(
            landscape, theta, found.values[settled], found.modes[settled], rest, 1, source
        )
        columns["trace"] = beside.total(lambda h: h)
        size = float(found.density.quadratures()[0].abs().max())
        decay, eps = weight_decay_of(landscape), float(torch.finfo(theta.dtype).eps)
        return columns | self._shares(found.density, float(found.values[0]), size, decay, eps)

    def _eigenvalue(self, i: int, found: Leading, spent: int) -> Measured:
        if i < len(found.values) and float(found.bounds[i]) <= TOLD * float(found.values[i]):
            return Measured(float(found.values[i]), float(found.bounds[i]))
        return Measured.nothing(f"{spent} steps of Lanczos do not settle it to {TOLD:.0%}")
