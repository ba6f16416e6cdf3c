"""What speaks against a finished cell: looked at once, when all its records are there.

None of this has a say in when a cell ends, for a cloud that is looked at more often would be
another cloud.
"""

from math import ceil, hypot, inf, isfinite
from statistics import fmean

import numpy as np

from sgdtheory.statistics.bootstrap import ratio_of_means
from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.numbers import in_sentence
from sgdtheory.temperature.cell import BURNT, COLD, Cell
from sgdtheory.temperature.estimators.fluctuation_dissipation import FluctuationDissipation
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from sgdtheory.temperature.trajectory import Trajectory

# Replicas from which on errors are known. A cell ends where its error is small, by chance too: of
# two replicas, whose error has one degree of freedom, it then is a hundredth of the true one.
LEAST = 8
SIGMAS = 3.0
TOLERANCE = 0.05  # of the fluctuation-dissipation ratio R, besides its errors
# standard error of R: with SIGMAS of more R = 0 would be let pass, where the gradient does no work
UNKNOWN = 0.3
PARABOLA = 0.1  # of 2⟨L − L*⟩/⟨(θ−θ*)·∇L⟩, which is 1 in a parabola and 1/2 in a quartic
SHAPELESS = 0.15  # standard error of that ratio: with SIGMAS of more a quartic would be let pass
LUKEWARM = 0.03  # by which T may be too low at most: what claims of a sweep take for near
SADDLE = "the point is a saddle"
SLOPE = "the point is no minimum"
# of the noise that may lie along what grows away from θ*: T by the excess is lower by it at least
FALLING = 0.05


def doubt_of_rest(sampled: Trajectory) -> str:
    """Why a cloud of which two windows were at rest is not, by all `sampled` records; empty where
    it is.

    Chance takes R of a cloud at rest off 1 by more than 3 of its errors in one cell of 370, and by
    5 % more in fewer. Under epoch reshuffling R is not 1. Without a minimum θ* is where training
    has ended, and clouds wander over a sphere about another point. Of fewer than LEAST replicas
    the error of R is not known either: no claim of theirs is judged.
    """
    if sampled.sampling == "epoch" or sampled.invariants or sampled.replicas < LEAST:
        return ""
    ratio = FluctuationDissipation()(None, sampled)["fluctuation_dissipation"]
    if ratio.value is None or ratio.stderr is None:
        return f"not known to be stationary: no fluctuation–dissipation ratio ({ratio.why})"
    error = _error_as_if_apart(sampled, ratio)
    told = f"the fluctuation–dissipation ratio is {in_sentence(ratio.value, ratio.stderr)}"
    if ratio.stderr > UNKNOWN:
        return f"not known to be stationary: {told}"
    if abs(ratio.value - 1) > TOLERANCE + SIGMAS * error:
        return f"not stationary: {told} over all records"
    return ""


def doubt_of_warmth(cell: Cell, reference: ReferenceMinimum, sampled: Trajectory) -> str:
    """Why a cloud is still warming up: its burn-in was cut short, and T of the records is too low
    by c = ⟨Σ_j w_j e^(−2h_j ηt)⟩, more than half of the relative error that was asked for; empty
    where it is warm.

    At most LUKEWARM is let pass whatever was asked, for cells err to the same side and a mean over
    many has a smaller error than each. Without a minimum |θ|² is what comes to rest, from where
    training has left it, and the fluctuation–dissipation ratio tells how far it is.
    """
    needed = cell.warming(reference)
    if not reference.has_minimum or needed <= cell.steps / BURNT:
        return ""
    cold = fmean(cell.cold_after(int(step), reference) for step in sampled.steps)
    if cold <= max(COLD, min(cell.precision / 2, LUKEWARM)):
        return ""
    cut = cell.schedule(reference, sampled.count).burn_in
    told = f"{100 * cold:.3g} % of the noise is still cold after a burn-in of {cut} steps"
    if not isfinite(needed):
        return f"not stationary: {told}, and stays so: nothing curves along it"
    return f"not stationary: {told}; steps={ceil(BURNT * needed)} is needed"


def doubt_of_survivors(replicas: int, alive: int) -> str:
    """Why a cloud that loses members has no steady state; empty where it has lost none. A mean over
    those that stay is of a landscape without the ways out."""
    lost = replicas - alive
    if not lost:
        return ""
    return f"not stationary: {lost} of {replicas} replicas are not finite"


def _error_as_if_apart(sampled: Trajectory, ratio: Measured) -> float:
    """The error of R, and at least what it is where above and below are independent.

    Of eight replicas the two are correlated by chance, up to 0.8, and the bootstrap's error is half
    of the true one then: a bowl at rest was five of its errors off.
    """
    ones = np.ones_like(sampled.virials)
    parts = [
        ratio_of_means(numbers, ones)
        for numbers in (sampled.virials, sampled.velocity_norms_squared)
    ]
    relative = [(part.stderr or 0.0) / abs(part.value or 1.0) for part in parts]
    return max(ratio.stderr or 0.0, abs(ratio.value or 0.0) * hypot(*relative))


def doubt_of_minimum(reference: ReferenceMinimum, time: float) -> str:
    """Why θ* is a saddle to clouds that live for `time` = ηt/(1−μ); empty where it is none.

    A mode of curvature h < 0 grows as e^(2|h|ηt). Networks after finite training have many that
    are so flat that nothing grows within a cell: these are as good as h = 0. Those that do are
    weighed by the noise along them.
    """
    if not reference.has_minimum:
        return ""
    grows = -2 * reference.spectrum * time > 1
    share = float(reference.weights[grows].sum())
    if share <= FALLING:
        return ""
    steepest = float(reference.spectrum[grows].min())
    return f"{SADDLE} (h = {steepest:.3g}): take a minimum"


def doubt_of_slope(reference: ReferenceMinimum, law: float) -> str:
    """Why θ* is no minimum to a cloud whose temperature by the law is `law`: the loss falls below
    it by more than LUKEWARM of the excess ½T·Tr C, by which T would be too low; empty where it does
    not."""
    excess = 0.5 * law * reference.noise_trace
    if reference.fall <= LUKEWARM * excess:
        return ""
    share = reference.fall / excess if excess > 0 else inf
    return (
        f"{SLOPE}: a descent from it falls by {reference.fall:.2g}, {share:.2g} of the excess loss "
        "by the law; take a smooth network, more weight decay, or a minimum"
    )


def doubt_of_parabola(sampled: Trajectory) -> str:
    """Why the ground is no parabola, in which 2⟨L − L*⟩ = ⟨(θ−θ*)·∇L⟩ whatever the cloud; empty
    where it may be one."""
    if sampled.loss_at_minimum is None or sampled.invariants or not sampled.losses.size:
        return ""
    heights = 2 * (sampled.losses - sampled.loss_at_minimum)
    ratio = ratio_of_means(heights, sampled.virials)
    if ratio.value is None or ratio.stderr is None:
        return "leaves the harmonic range: ⟨(θ−θ*)·∇L⟩ is not positive"
    told = f"2⟨L−L*⟩ is {in_sentence(ratio.value, ratio.stderr)} of ⟨(θ−θ*)·∇L⟩"
    if ratio.stderr > SHAPELESS:
        return f"not known to be harmonic: {told}"
    if abs(ratio.value - 1) < max(PARABOLA, SIGMAS * ratio.stderr):
        return ""
    return f"leaves the harmonic range: {told}"


def above_the_minimum(excess: Measured) -> Measured:
    """T from the excess loss; no number where clouds lie below θ* by more than its error."""
    if excess.value is None or excess.value >= -(excess.stderr or 0.0):
        return excess
    told = in_sentence(excess.value, excess.stderr)
    return Measured.nothing(f"T would be {told}: {SLOPE}, take one below it")
