"""How noisy a gradient is: Tr C in several ways, and the batch size at which noise and signal are
equal."""

from dataclasses import dataclass
from typing import ClassVar

from sgdtheory.protocol import Landscape
from sgdtheory.statistics.bootstrap import ratio_of_means
from sgdtheory.statistics.measured import Measured
from sgdtheory.temperature.trajectory import Trajectory


@dataclass(frozen=True)
class NoiseScale:
    """B = ⟨Tr C⟩/⟨|∇L|²⟩, the simple noise scale in samples (McCandlish et al. 2018, 1812.06162,
    Eq. 2.9), and Tr C thrice.

    `noise_trace_micro_batch`: from micro-batches of full passes, what the temperatures are
    normalised by. `noise_trace_mini_batch`: b⟨|g_B − ∇L|²⟩ of SGD's own mini-batches at the same
    points, over (N−b)/(N−1) without replacement. `noise_trace_two_batch`: (⟨|g_B|²⟩ − ⟨|∇L|²⟩)·b,
    averages first and then their difference (their appendix A.1 with the whole set as the larger
    batch). `noise_agreement`: the second over the first, one when the noise is booked right: a
    factor 2 in it would be seen here.
    """

    expects: ClassVar[str] = "one"  # of noise_agreement

    def __call__(self, landscape: Landscape, trajectory: Trajectory) -> dict[str, Measured]:
        size = trajectory.batch_size / (trajectory.finite_population_correction or 1.0)
        mini_batch = size * trajectory.noise_norms_squared
        two_batch = size * (trajectory.batch_norms_squared - trajectory.gradient_norms_squared)
        ones = trajectory.noise_trace * 0 + 1
        return {
            "noise_scale": ratio_of_means(
                trajectory.noise_trace, trajectory.gradient_norms_squared, "samples"
            ),
            "noise_agreement": ratio_of_means(mini_batch, trajectory.noise_trace),
            "noise_trace_micro_batch": ratio_of_means(trajectory.noise_trace, ones),
            "noise_trace_mini_batch": ratio_of_means(mini_batch, ones),
            "noise_trace_two_batch": ratio_of_means(two_batch, ones),
        }
