"""Whether a cloud is wide enough for the numbers it is computed in."""

from math import inf

import numpy as np
import torch
from torch import Tensor

from sgdtheory.fokker_planck.law import time_step
from sgdtheory.optim.sgd import SGD
from sgdtheory.protocol import Landscape, values
from sgdtheory.roles.examples import count_of
from sgdtheory.roles.facts import device_of
from sgdtheory.temperature.trajectory import Array, Trajectory

COARSE = 0.01  # of T: what rounding may make of it
LOOKED_AT = 20_000_000  # examples × parameters up to which the loss is asked in both precisions
INSTEAD = "take dtype=float64, or a constant off the targets or inputs"


def resolution(numbers: Array) -> float:
    """How far numbers of this kind are rounded, relatively: whether they were float32 is seen."""
    are_single = bool((numbers == numbers.astype(np.float32)).all())
    return float(np.finfo(np.float32 if are_single else np.float64).eps)


def _of_steps(sampled: Trajectory) -> float:
    """The same of what steps are computed in, which losses are not where they are means."""
    return resolution(sampled.positions)


def doubt_of_steps(sgd: SGD, theta: Tensor, sampled: Trajectory) -> str:
    """Why steps about θ [n] are noise of their rounding; empty where they are not.

    A step is rounded to an ulp u_i of θ_i, which is noise of variance Σ u_i²/12 beside that of
    mini-batches, (η/(1−μ))²·Tr C/b: their ratio is what it makes of T.
    """
    if not sampled.noise_trace.size:
        return ""
    ulps = _of_steps(sampled) * torch.exp2(theta.abs().log2().floor())  # [n], 0 at 0
    of_rounding = float(ulps.square().sum()) / 12
    of_batches = time_step(sgd) ** 2 * float(sampled.noise_trace.mean()) / sampled.batch_size
    if of_rounding <= COARSE * of_batches:
        return ""
    share = of_rounding / of_batches if of_batches else inf
    return f"the rounding of parameters is {100 * share:.0f} % of the noise of a step: {INSTEAD}"


def doubt_of_losses(landscape: Landscape, theta: Tensor, sampled: Trajectory) -> str:
    """Why losses about θ [n] in float32 are not those in float64, by more than T bears; empty where
    they are."""
    is_single = _of_steps(sampled) > np.finfo(np.float64).eps
    examples = count_of(landscape) or 1
    if not is_single or sampled.loss_at_minimum is None or examples * theta.numel() > LOOKED_AT:
        return ""
    single = theta[None].to(device_of(landscape), torch.float32)
    rounded = float(values(landscape, single)[0])
    exact = float(values(landscape, single.double())[0])
    off = abs(rounded - exact)
    excess = abs(float(sampled.losses.mean()) - sampled.loss_at_minimum)
    if off <= COARSE * excess:
        return ""
    return f"losses in float32 are off by {off:.1g}, and the excess is {excess:.1g}: {INSTEAD}"
