"""How far SGD's steps are from the continuous law without inertia, and whether that is too far."""

from sgdtheory.optim.sgd import SGD

ROUNDING = 1e-6  # relative: a step that is exactly as large as is allowed is allowed


def lag(learning_rate: float, momentum: float, curvature: float) -> float:
    """ηh(1+μ)/2(1−μ)², by which the rate of relaxation of a mode of curvature h is off the
    continuous ηh/(1−μ) a step, to first order in η.

    A mean decays as z^t with z + μ/z = 1 + μ − ηh; with z = e^{−λ} that is λ(1−μ) − λ²(1+μ)/2 =
    ηh. Without momentum it is the finite step's ηh/2; with it, mostly its memory of 1/(1−μ) steps
    over the relaxation's (1−μ)/ηh. The variance of the steady state is off by less, ηh/2(1+μ).

    >>> lag(0.1, 0.0, 2.0), round(lag(0.1, 0.5, 2.0), 12)
    (0.1, 0.6)
    """
    doubled = 2 * (1 - momentum) ** 2
    return learning_rate * curvature * (1 + momentum) / doubled


def too_large(sgd: SGD, curvature: float, within: float) -> str:
    """Why a descent cannot be held against the continuous law to within a relative tolerance where
    the landscape has this curvature; empty where it can.

    >>> from sgdtheory.optim.schedule import Constant
    >>> too_large(SGD(10, 1, 0.02, Constant()), 2.0, 0.05)
    ''
    """
    off = lag(sgd.rate, sgd.momentum, curvature)
    if off <= within * (1 + ROUNDING):
        return ""
    lower = "lower sgd.learning_rate"
    if sgd.momentum:
        lower += " or sgd.momentum"
    return (
        "steps are too large for the continuous law, whose rates they are off by "
        f"ηh(1+μ)/2(1−μ)² = {off:.2g}, more than the {within:g} that is asked: {lower}"
    )
