"""The loss below a cloud where there is no minimum: its own points, descended without noise."""

from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

from sgdtheory.errors import RunError
from sgdtheory.geometry.gradient_noise import noise_vectors, whole_pass
from sgdtheory.geometry.lanczos import weighted_spectrum
from sgdtheory.geometry.scale_invariance import with_norms_of
from sgdtheory.landscapes.derived.ghost_batches import GhostBatchObjective
from sgdtheory.optim.descent import MOMENTUM
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.training_loop import run_stage
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.rng import stream
from sgdtheory.roles.examples import examples_of
from sgdtheory.roles.facts import weight_decay_of
from sgdtheory.runs.unit import UnitFolder
from sgdtheory.statistics.measured import Measured

FRACTION = 0.9  # of Tr C lies in the modes that a quench cools
LIVES = 3.0  # relaxation times 1/h of the slowest of them that a quench takes
DRAWS, LANCZOS = 4, 10  # of the noise-weighted spectrum at a snapshot
SEEN = 128  # examples that a product with the Hessian is made of, at least
HALF = (8, 24)  # steps of half a quench, at least and at most
PASSES = 2  # over the data, to measure the points afterwards


class QuenchResult(NamedTuple):
    """Where the descent of a cloud's points ends; the length of scale-invariant parameters does not
    count."""

    loss: float
    loss_stderr: float  # over the points
    loss_half: float  # after half the time
    noise_trace: float  # Tr C, scale-invariant tensors stretched back to the length they had
    top_curvature: float  # at the first point, before the descent
    time: float  # ηt


def quench(
    landscape: Landscape,
    snapshots: Cloud,
    groups: Tensor,
    size: int,
    seed: int,
    folder: UnitFolder,
) -> dict[str, float]:
    """Descend from snapshots [Q, n] by heavy ball on the objective of this b for a time 3/h, h the
    curvature that modes with nine tenths of Tr C lie above; measure the loss half way and at the
    end. `groups` [n] as from `scale_invariant`.

    On a harmonic landscape a quench makes T a few per cent too low; the loss half way shows whether
    a longer one would find much more.
    """
    snapshots = snapshots[torch.isfinite(snapshots).all(1)]
    if len(snapshots) < 2:
        raise RunError(
            "fewer than two snapshots of the cloud are finite; lower sweep.learning_rate"
        )
    objective = GhostBatchObjective(examples_of(landscape), size, stream(seed, "quench"))
    slowest, top = _curvatures(landscape, snapshots[0], size, seed)
    rate = 0.25 * (1 + MOMENTUM) / top
    half_time = LIVES / slowest * (1 - MOMENTUM) / rate / 2  # in steps
    steps = int(min(max(half_time, HALF[0]), HALF[1]))
    descent = SGD(steps, None, rate, Constant(), MOMENTUM)
    middle = run_stage(folder, "half", descent, objective, snapshots, seed, fraction=(0.1, 0.5))
    end = run_stage(folder, "whole", descent, objective, middle, seed, fraction=(0.5, 0.9))
    half, _ = _measured(landscape, middle, snapshots, groups, size, seed)
    loss, trace = _measured(landscape, end, snapshots, groups, size, seed)
    assert half.value is not None and loss.value is not None
    result = QuenchResult(
        loss=loss.value,
        loss_stderr=loss.stderr or 0.0,
        loss_half=half.value,
        noise_trace=trace,
        top_curvature=top,
        time=2 * steps * rate / (1 - MOMENTUM),
    )
    return result._asdict()


def _curvatures(
    landscape: Landscape,
    theta: Tensor,
    size: int,
    seed: int,
) -> tuple[float, float]:
    """(the curvature above which nine tenths of Tr C lie, the largest) at θ [n]."""
    examples = examples_of(landscape)
    parts = ceil(SEEN / size)
    objective = GhostBatchObjective(examples, size, stream(seed, "parts"), parts)
    noise = noise_vectors(objective, theta, DRAWS, size, stream(seed, "noise"))
    curvatures, weights = weighted_spectrum(objective, theta, noise, LANCZOS)
    order = curvatures.argsort(descending=True)
    curvatures, covered = curvatures[order], weights[order].cumsum(0)
    top = float(curvatures[0])
    if not top > 0:
        raise RunError(
            "no direction of the cloud's noise is curved upwards: there is nothing to quench to"
        )
    last = int((covered < FRACTION).sum().clamp_max(len(covered) - 1))
    slowest = float(curvatures[last])
    return max(slowest, 1e-3 * top), top


def _measured(
    landscape: Landscape, cloud: Cloud, like: Cloud, groups: Tensor, size: int, seed: int
) -> tuple[Measured, float]:
    """L − ½λ|θ_s|² over points [Q, n], and their mean Tr C, each tensor with the length that it has
    in `like` [Q, n]."""
    invariant = groups.to(cloud.device) > 0
    stretched = with_norms_of(cloud, like, groups.to(cloud.device))
    no_directions = cloud.new_zeros((0, cloud.shape[1]))
    passes = [
        whole_pass(landscape, stretched, size, stream(seed, "weigh", k), no_directions)
        for k in range(PASSES)
    ]
    losses = torch.stack([result.losses for result in passes]).mean(0)  # [Q]
    lengths = stretched[:, invariant].double().square().sum(1)
    bare = losses - 0.5 * weight_decay_of(landscape) * lengths
    trace = torch.stack([result.noise_trace for result in passes]).mean()
    return Measured.mean(bare.cpu()), float(trace)
