"""The norms of scale-invariant parameters at every step: occasional records would see too few of
their steps."""

import torch
from torch import Tensor

from sgdtheory.optim.sgd import SGDState
from sgdtheory.protocol import TensorsByName

COLUMNS = ("mean_norms_squared", "mean_norms_fourth", "mean_velocities_squared", "mean_pulls")


class NormDynamics:
    """Means over the steps since the last record of |θ|², |θ|⁴, |v|² and |θ|²|g|², each [P], of the
    scale-invariant part.

    θ is where the step began, v the velocity after it, g = g_B − λθ the gradient without weight
    decay, which is orthogonal to θ. All are zero where a landscape has no such parameters.
    """

    def __init__(
        self,
        groups: Tensor,
        learning_rate: float,
        weight_decay: float,
        points: int,
        sums: Tensor | None = None,
    ) -> None:
        self.indices = groups.nonzero()[:, 0]
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        if sums is None:
            sums = groups.new_zeros((len(COLUMNS) + 1, points), dtype=torch.float64)
        self.sums = sums  # [5, P], the last row counts the steps

    def see(self, state: SGDState) -> None:
        """Add one step to the sums."""
        if not len(self.indices):
            return
        assert state.gradients is not None
        velocity = state.velocity[:, self.indices]  # [P, s]
        theta = state.cloud[:, self.indices].add_(velocity, alpha=self.learning_rate)
        norms = theta.square().sum(1).double()
        pull = (
            state.gradients[:, self.indices].square().sum(1).double() - self.weight_decay**2 * norms
        )
        speeds = velocity.square().sum(1).double()
        ones = torch.ones_like(norms)
        self.sums += torch.stack([norms, norms.square(), speeds, norms * pull, ones])

    def means(self) -> TensorsByName:
        """The means [P] by name; counting begins anew."""
        *sums, steps = self.sums
        means = {}
        for name, total in zip(COLUMNS, sums, strict=True):
            means[name] = total / steps.clamp_min(1)
        self.sums = torch.zeros_like(self.sums)
        return means

    def tensors(self) -> TensorsByName:
        """The sums [5, P], enough to continue from."""
        return {"pace": self.sums}
