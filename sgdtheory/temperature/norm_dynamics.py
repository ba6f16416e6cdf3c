"""What scale-invariant parameters do at every step: a record now and then would see too few of
their steps."""

import torch
from torch import Tensor

from sgdtheory.optim.sgd import SGDState
from sgdtheory.statistics.measured import Row

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
        self.at = groups.nonzero()[:, 0]
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.sums = (
            groups.new_zeros((len(COLUMNS) + 1, points), dtype=torch.float64)
            if sums is None
            else sums
        )

    def see(self, state: SGDState) -> None:
        """Count one step."""
        if not len(self.at):
            return
        assert state.gradients is not None
        velocity = state.velocity[:, self.at]  # [P, s]
        theta = state.cloud[:, self.at].add_(velocity, alpha=self.learning_rate)
        norms = theta.square().sum(1).double()
        pull = state.gradients[:, self.at].square().sum(1).double() - self.weight_decay**2 * norms
        turned = velocity.square().sum(1).double()
        self.sums += torch.stack(
            [norms, norms.square(), turned, norms * pull, torch.ones_like(norms)]
        )

    def means(self) -> dict[str, Tensor]:
        """The means [P] by name; counting begins anew."""
        *sums, steps = self.sums
        found = {
            name: total / steps.clamp_min(1) for name, total in zip(COLUMNS, sums, strict=True)
        }
        self.sums = torch.zeros_like(self.sums)
        return found

    def tensors(self) -> Row:
        """Enough to go on from."""
        return {"pace": self.sums}
