"""The spectrum of the Hessian: its largest eigenvalues, its trace, how much of it is flat, how much
of it is negative."""

from dataclasses import dataclass, fields, replace
from typing import Annotated, NamedTuple, Self

import torch
from annotated_types import Ge
from scipy.sparse.linalg import ArpackError
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.diagnostics.blocks import (
    Expressions,
    beside_blocks,
    listed,
    refuse_unmatched,
)
from sgdtheory.geometry.curvature_precision import (
    FINE,
    in_precision,
    rounding_of_curvature,
    why_rounding,
)
from sgdtheory.geometry.hessian import DENSE
from sgdtheory.geometry.spectral_density import (
    RitzPairs,
    SpectralDensity,
    density,
    ritz_pairs,
)
from sgdtheory.geometry.traces import trace_beside
from sgdtheory.landscapes.derived.gauss_newton import GaussNewton, why_no_gauss_newton
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.rng import stream
from sgdtheory.roles.examples import has_outputs
from sgdtheory.roles.facts import decay_of_curvature
from sgdtheory.statistics.measured import Measured

# bounds on a Ritz value in units of its size, up to which it is deflated, and reported
DEFLATED = 0.01
REPORTED = 0.1
TINY = 1e-300  # a window with 0 in it, of a Hessian that is 0
UNKNOWN = 0.2  # of all directions: an error up to which a count is told, however small it is; ours


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues h_i of H = ∇²L, L the whole objective with ½λ|θ|², at each point of a cloud
    (Sagun et al. 2017, 1706.04454).

    The `top` largest by Lanczos, to 1e-6, each as often as it comes: their errors are rounding. Of
    all others what `probes` random vectors see in `steps` products each (stochastic Lanczos
    quadrature, Ghorbani et al. 2019, 1901.10159), with standard errors over probes. The trace by
    Hutch++ (Meyer et al. 2021, 2010.09649): exact in the space of the eigenvectors and of the first
    probe's products, and the mean over `trace_products` random vectors outside of it, whose scatter
    is its error. Up to 256 parameters all eigenvalues are computed, and nothing has an error but
    eigenvalues that are near their rounding.

    All of it in float64 up to 2000 parameters, and of larger landscapes where a product with H in
    the cloud's dtype is off by more than 1e-3, as where a loss is nearly 0 (`in_precision`); no
    numbers where the curvature of a cross-entropy is rounding in float64 too, at L < 2e-12.

    Gives `top_eigenvalue` and `eigenvalue_2` …; `trace`; `flat_fraction`, the share of |h| <
    flat·h_max, or < √n·ε·max|h| where that is more, ε of the dtype computed in: below it all is
    rounding (in float64 of a cross-entropy L also 8ε·max|h|/L, for 1 − p is rounded by ε whatever
    it is), and of a Hessian that is 0 the share is 1; with weight decay also
    `flat_fraction_data`, the same of the data loss alone, whose h is λ lower: at λ > flat·h_max the
    first says nothing of the data; `negative_eigenvalues`, how many h are below minus that
    rounding. No numbers where Lanczos does not converge.

    `parameters`: regular expressions on the names of parameters; the same columns of the rows and
    columns of H that each matches stand beside, as `trace[<expression>]`. `gauss_newton`: also
    `gauss_newton_top` and `gauss_newton_trace` of G, the part of H that is left where outputs are
    linear in θ (see `GaussNewton`); none where the loss is not convex in the outputs.
    """

    top: PositiveInt = 10
    probes: PositiveInt = 6
    steps: PositiveInt = 60
    flat: PositiveFloat = 1e-3
    seed: NonNegativeInt = 0
    trace_products: Annotated[int, Ge(2)] = 30
    parameters: Expressions = None
    gauss_newton: bool = False

    def __call__(self, landscape: Landscape, cloud: Cloud) -> list[dict[str, Measured]]:
        """One row of columns for each point of a cloud [P, n]."""
        return [self._row(landscape, theta) for theta in cloud]

    def within(self, products: int) -> "BriefSpectrum":
        """The same columns for so many Hessian-vector products a point, as many for each block, and
        as many for each G."""
        settings = {setting.name: getattr(self, setting.name) for setting in fields(Spectrum)}
        return BriefSpectrum(**settings, products=products)

    def refuse(self, landscape: Landscape, key: str) -> None:
        """UserError where a block has no parameters."""
        refuse_unmatched(landscape, self.parameters, f"{key}.parameters")

    def planned(self) -> int:
        """How many Hessian-vector products a point of a large landscape takes."""
        products = self._planned()
        if self.gauss_newton:
            products += self._of_two_columns()._planned()
        return products * (1 + len(listed(self.parameters)))

    def _planned(self) -> int:
        """Of all parameters' Hessian alone."""
        return max(20, 6 * self.top) + self.probes * self.steps + self.trace_products

    def _row(self, landscape: Landscape, theta: Tensor) -> dict[str, Measured]:
        return beside_blocks(self._with_gauss_newton, landscape, theta, self.parameters)

    def _with_gauss_newton(self, landscape: Landscape, theta: Tensor) -> dict[str, Measured]:
        columns = self._columns(landscape, theta)
        if not self.gauss_newton:
            return columns
        why = why_no_gauss_newton(landscape, theta)
        if why or not has_outputs(landscape):
            nothing = Measured.nothing(why)
            return columns | {"gauss_newton_top": nothing, "gauss_newton_trace": nothing}
        found = self._of_two_columns()._columns(GaussNewton(landscape), theta)
        return columns | {
            "gauss_newton_top": found["top_eigenvalue"],
            "gauss_newton_trace": found["trace"],
        }

    def _of_two_columns(self) -> Self:
        """The same with what the largest eigenvalue and the trace need."""
        return replace(self, top=1, probes=1)

    def _columns(self, landscape: Landscape, theta: Tensor) -> dict[str, Measured]:
        top = min(self.top, theta.numel())
        if not bool(torch.isfinite(theta).all()):
            return _no_columns(top, "the point is not finite")
        if why := why_rounding(landscape, theta):
            return _no_columns(top, why)
        return self._measured(landscape, in_precision(landscape, theta), top)

    def _measured(self, landscape: Landscape, theta: Tensor, top: int) -> dict[str, Measured]:
        """The columns at a point [n] in the precision that its curvatures are known in."""
        source = stream(self.seed, "spectrum")
        try:
            spectrum = density(
                landscape,
                theta,
                top,
                self.probes,
                self.steps,
                source,
            )
        except ArpackError as fault:
            return _no_columns(top, f"Lanczos did not converge: {fault}")
        eigenvalues = spectrum.known.tolist()
        size = max(map(abs, eigenvalues))
        scale = Scale(eigenvalues[0], rounding_of_curvature(landscape, theta, size))
        error = scale.rounding if theta.dtype == torch.float64 else 0.0
        columns = {
            name: Measured(h, error if error > FINE * abs(h) else None)
            for name, h in zip(_names(top), eigenvalues, strict=False)
        }
        columns["trace"] = self._trace(landscape, theta, spectrum, self.trace_products)
        return columns | self._shares(spectrum, scale, decay_of_curvature(landscape))

    def _trace(
        self, landscape: Landscape, theta: Tensor, spectrum: SpectralDensity, probes: int
    ) -> Measured:
        """Tr H, exact where all eigenvalues are known."""
        if spectrum.inside is None:
            return spectrum.total(lambda h: h)
        basis, inside = spectrum.inside
        source = stream(self.seed, "trace")
        return trace_beside(landscape, theta, basis, inside, probes, source)

    def _shares(
        self, spectrum: SpectralDensity, scale: "Scale", decay: float
    ) -> dict[str, Measured]:
        """The flat fraction, of the data loss too, and the number of negative eigenvalues."""
        least = max(scale.rounding, TINY)
        flat = max(self.flat * scale.largest, least)
        columns = {"flat_fraction": spectrum.share(-flat, flat)}
        if decay:
            flat = max(self.flat * (scale.largest - decay), least)
            columns["flat_fraction_data"] = spectrum.share(decay - flat, decay + flat)
        negative = spectrum.below(-scale.rounding)
        if negative.stderr is not None:  # one in n directions is seen by chance only
            negative = negative._replace(stderr=max(1.0, negative.stderr))
        columns = {name: _if_known(share, 1) for name, share in columns.items()}
        return columns | {"negative_eigenvalues": _if_known(negative, spectrum.dim)}


class Scale(NamedTuple):
    """The largest eigenvalue, and how far all are rounded."""

    largest: float
    rounding: float


def _if_known(count: Measured, of_all: int) -> Measured:
    """A count or a share of all directions; none where its error is more than twice as large, and
    than a fifth of them."""
    if count.value is None or count.stderr is None:
        return count
    if count.stderr <= max(UNKNOWN * of_all, 2 * count.value):
        return count
    percent = 100 * count.stderr / of_all
    return Measured.nothing(
        f"known to ± {percent:.0f} % of the directions: so few products cannot tell; raise probes "
        f"or products"
    )


def _no_columns(top: int, why: str) -> dict[str, Measured]:
    names = (*_names(top), "trace", "flat_fraction", "negative_eigenvalues")
    return {name: Measured.nothing(why) for name in names}


def _names(top: int) -> list[str]:
    return ["top_eigenvalue", *(f"eigenvalue_{i}" for i in range(2, top + 1))]


@dataclass(frozen=True)
class BriefSpectrum(Spectrum):
    """The columns of `Spectrum` from `products` Hessian-vector products in all, for points where
    each takes seconds.

    Three quarters of them are one Lanczos run from a random vector. Its largest Ritz values are the
    eigenvalues, as far as they have converged to a tenth of themselves; their errors are the bounds
    |Hu − hu|, within which an eigenvalue lies; one that comes several times is there once, for one
    vector sees no more of it. The same run's quadrature gives the flat and the
    negative fractions: of many eigenvalues one vector sees a share f to √(2f(1−f)/n), and the gaps
    between its nodes are added to the error. Tr H is exact in the space of this run (the sum of α),
    and the other products see the rest, one random vector each: unbiased whatever space was taken
    out (Meyer et al. 2021, 2010.09649), with the scatter over vectors as its error.
    """

    products: Annotated[int, Ge(8)] = 40

    def _planned(self) -> int:
        return self.products

    def _measured(self, landscape: Landscape, theta: Tensor, top: int) -> dict[str, Measured]:
        n = theta.numel()
        if n <= DENSE:
            return super()._measured(landscape, theta, top)
        steps = min(n, 3 * self.products // 4)
        pairs = ritz_pairs(landscape, theta, min(top, steps), steps, stream(self.seed, "leading"))
        converged = pairs.bounds <= DEFLATED * pairs.values.abs()
        if not bool(converged[0]):
            why = f"{steps} steps of Lanczos do not settle the largest eigenvalue to {DEFLATED:.0%}"
            return _no_columns(top, why)
        columns = {name: _eigenvalue(i, pairs, steps) for i, name in enumerate(_names(top))}
        probes = self.products - steps
        columns["trace"] = self._trace(landscape, theta, pairs.density, probes)
        size = float(pairs.density.quadratures()[0].abs().max())
        rounding = rounding_of_curvature(landscape, theta, size)
        scale = Scale(float(pairs.values[0]), rounding)
        return columns | self._shares(pairs.density, scale, decay_of_curvature(landscape))


def _eigenvalue(i: int, pairs: RitzPairs, steps: int) -> Measured:
    if i < len(pairs.values):
        value = float(pairs.values[i])
        bound = float(pairs.bounds[i])
        if bound <= REPORTED * abs(value):
            return Measured(value, bound)
    return Measured.nothing(f"{steps} steps of Lanczos do not settle it to {REPORTED:.0%}")
