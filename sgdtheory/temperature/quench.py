"""How high a cloud stands where there is no minimum to measure from: its own points, let down
without noise."""

from typing import NamedTuple

import torch
from torch import Tensor

from sgdtheory.errors import RunError
from sgdtheory.geometry.curvature import weighted_spectrum
from sgdtheory.geometry.gradient_noise import noise_vectors, whole_pass
from sgdtheory.geometry.scale_invariance import with_norms_of
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.landscapes.derived.ghost_batches import GhostBatchObjective
from sgdtheory.optim.descent import MOMENTUM
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.training_loop import run_stage
from sgdtheory.rng import stream
from sgdtheory.roles import examples_of, weight_decay_of
from sgdtheory.runs.unit import UnitFolder
from sgdtheory.statistics.measured import Measured

SHARE = 0.9  # of Tr C lies in the modes that are let go cold
LIVES = 3.0  # relaxation times 1/h of the slowest of them that a quench takes
DRAWS, LANCZOS = 4, 10  # of the noise-weighted spectrum at a snapshot
SEEN = 128  # examples that a product with the Hessian is made of, at least
HALF = (8, 24)  # steps of half a quench, at least and at most
PASSES = 2  # over the data, to weigh the points afterwards


class QuenchResult(NamedTuple):
    """Where the points of a cloud come to lie, the length of scale-invariant parameters left out of
    account.

    `loss`, its standard error over the points; after half the time; Tr C there, the scale-invariant
    tensors stretched back to the length they had; the largest curvature at the point that was let
    go first; the time ηt.
    """

    loss: float
    loss_stderr: float
    loss_half: float
    noise_trace: float
    top_curvature: float
    time: float

    def in_units(self) -> dict[str, float]:
        return dict(self._asdict())


def quench(
    landscape: Landscape, snapshots: Cloud, groups: Tensor, size: int, seed: int, folder: UnitFolder
) -> dict[str, float]:
    """Let snapshots [Q, n] down by heavy-ball descent of the objective of this b for a time 3/h, h
    the curvature that modes with nine tenths of Tr C lie above; weigh them half way and at the
    end.

    A quench reads T a few per cent low where a landscape is harmonic; how much more a longer one
    would find is for the reader to judge from the loss half way.
    """
    snapshots = snapshots[torch.isfinite(snapshots).all(1)]
    if len(snapshots) < 2:
        raise RunError(
            "fewer than two snapshots of the cloud are finite; lower sweep.learning_rate"
        )
    objective = GhostBatchObjective(examples_of(landscape), size, stream(seed, "quench"))
    slowest, top = _curvatures(landscape, snapshots[0], size, seed)
    rate = 0.25 * (1 + MOMENTUM) / top
    steps = int(min(max(LIVES / slowest * (1 - MOMENTUM) / rate / 2, HALF[0]), HALF[1]))
    descent = SGD(steps, None, rate, Constant(), MOMENTUM)
    half = run_stage(folder, "half", descent, objective, snapshots, seed, fraction=(0.1, 0.5))
    whole = run_stage(folder, "whole", descent, objective, half, seed, fraction=(0.5, 0.9))
    (before, _), (after, trace) = (
        _weighed(landscape, x, snapshots, groups, size, seed) for x in (half, whole)
    )
    assert before.value is not None and after.value is not None
    time = 2 * steps * rate / (1 - MOMENTUM)
    return QuenchResult(after.value, after.stderr or 0.0, before.value, trace, top, time).in_units()


def _curvatures(landscape: Landscape, theta: Tensor, size: int, seed: int) -> tuple[float, float]:
    """(the curvature above which nine tenths of Tr C lie, the largest) at θ [n]."""
    seen = GhostBatchObjective(
        examples_of(landscape), size, stream(seed, "parts"), -(-SEEN // size)
    )
    noise = noise_vectors(seen, theta, DRAWS, size, stream(seed, "noise"))
    curvatures, weights = weighted_spectrum(seen, theta, noise, LANCZOS)
    order = curvatures.argsort(descending=True)
    curvatures, covered = curvatures[order], weights[order].cumsum(0)
    top = float(curvatures[0])
    if not top > 0:
        raise RunError(
            "no direction of the cloud's noise is curved upwards: there is nothing to quench to"
        )
    slowest = float(curvatures[int((covered < SHARE).sum().clamp_max(len(covered) - 1))])
    return max(slowest, 1e-3 * top), top


def _weighed(
    landscape: Landscape, cloud: Cloud, like: Cloud, groups: Tensor, size: int, seed: int
) -> tuple[Measured, float]:
    """L − ½λ|θ_s|² over points [Q, n], and their mean Tr C, each tensor with the length that it has
    in `like`."""
    invariant = groups.to(cloud.device) > 0
    stretched = with_norms_of(cloud, like, groups.to(cloud.device))
    nothing = cloud.new_zeros((0, cloud.shape[1]))
    seen = [
        whole_pass(landscape, stretched, size, stream(seed, "weigh", k), nothing)
        for k in range(PASSES)
    ]
    losses = torch.stack([each.losses for each in seen]).mean(0)  # [Q]
    bare = losses - 0.5 * weight_decay_of(landscape) * stretched[
        :, invariant
    ].double().square().sum(1)
    return Measured.mean(bare.cpu()), float(torch.stack([each.noise_trace for each in seen]).mean())
