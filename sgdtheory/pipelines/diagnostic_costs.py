"""What diagnostics cost, before anything is measured. Plans alone depend on it."""

from torch import Tensor

from sgdtheory.diagnostics.blocks import listed
from sgdtheory.diagnostics.critical import Criticality
from sgdtheory.diagnostics.diagnostic import Diagnostic
from sgdtheory.diagnostics.edge import Edge
from sgdtheory.diagnostics.llc import LearningCoefficient
from sgdtheory.diagnostics.noise import Noise
from sgdtheory.diagnostics.sharpness import Sharpness
from sgdtheory.diagnostics.spectrum import Spectrum
from sgdtheory.geometry.hessian import DIAGONALISED
from sgdtheory.optim.cost import estimate_score
from sgdtheory.protocol import Landscape
from sgdtheory.roles.examples import count_of
from sgdtheory.runs.unit import Estimate

# a Hessian-vector product, and a gradient in float64, in gradients (measured, ResNet-20)
PRODUCT = 5
DOUBLE = 4
LOOKS = 14  # gradients of ten iterations of L-BFGS-B
UNKNOWN = 50.0  # gradients of one that is not known here; ours


def cost_of(diagnostic: Diagnostic, landscape: Landscape, points: Tensor) -> Estimate:
    """So many gradients of the whole objective at every point of [P, n]."""
    gradients = _gradients(diagnostic, landscape)
    return estimate_score(landscape, points[:1], gradients * len(points))


def _gradients(measured: Diagnostic, landscape: Landscape) -> float:
    """At one point."""
    if isinstance(measured, Spectrum):
        return PRODUCT * measured.planned()
    if isinstance(measured, Noise):
        count = count_of(landscape) or measured.batch_size
        passes = measured.draws * measured.batch_size / count
        blocks = 1 + len(listed(measured.parameters))
        return DOUBLE * blocks * max(1.0, passes)
    if isinstance(measured, Sharpness):
        draws = 1 if measured.subspace is None else measured.draws
        return float(DOUBLE * LOOKS * draws)
    if isinstance(measured, Criticality):
        return PRODUCT * (1.0 + measured.steps)
    if isinstance(measured, LearningCoefficient):
        runs = 3.0 if measured.localisation else 2.0  # half the step, and twice the spring
        whole = landscape.dim if landscape.dim <= DIAGONALISED and measured.localisation else 0
        return runs * measured.chains * (measured.burn_in + measured.steps) + PRODUCT * whole
    if isinstance(measured, Edge):
        count = count_of(landscape) or measured.batch_size
        passes = measured.draws * measured.batch_size / count
        return DOUBLE * (1 + PRODUCT) * (1 + passes)
    return UNKNOWN
