"""Linear regression on a data set's pixels: real data, multiplicative noise, and yet an exact
stationary state."""

from functools import cached_property
from typing import Annotated, NamedTuple

import torch
from torch import Generator, Tensor

from sgdtheory.annotations import Place, PositiveFloat
from sgdtheory.data.images import Images
from sgdtheory.errors import UserError
from sgdtheory.fokker_planck.area import linear_area
from sgdtheory.fokker_planck.law import drag_of
from sgdtheory.landscapes.mini_batch import taken_from

# of the fixed point; it contracts by about the share of the noise that grows with the cloud
ROUNDS = 2000


class Regression(NamedTuple):
    inputs: Tensor  # x [P or 1, b, n]
    targets: Tensor  # y [P or 1, b]


class LinearRegression:
    """L(θ) = ½⟨(x·θ − y)²⟩ + ½λ|θ|², x the normalised pixels and a one, y the class number, centred
    and scaled to one.

    The gradient of one sample is x(x·θ − y) + λθ: its noise grows with the cloud, C(θ) = C* + what
    Σ adds, and still Σ is known exactly. λ > 0, since border pixels that are always black would
    leave directions flat.
    """

    def __init__(
        self,
        data: Images,
        weight_decay: PositiveFloat = 0.01,
        device: Annotated[str, Place] = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.weight_decay = weight_decay
        self.title = f"linear regression on {data.name}"
        pixels = data.scaled(data.train_inputs, torch.float64).flatten(1)
        ones = torch.ones(len(pixels), 1, dtype=torch.float64)
        inputs = torch.cat([pixels, ones], 1)
        targets = standardised(data.train_targets.double())
        self.inputs = inputs.to(self.device)  # X [N, n]
        self.targets = targets.to(self.device)  # y [N]
        self.count, self.dim = inputs.shape
        examples = Regression(self.inputs[None], self.targets[None])
        self._moved = {torch.float64: examples}

    def init(self, points: int, stream: Generator) -> Tensor:
        """Gaussian [points, n], of length about one."""
        draws = torch.randn(points, self.dim, generator=stream)
        cloud: Tensor = draws / self.dim**0.5
        return cloud.to(self.device)

    def batch(self, indices: Tensor) -> Regression:
        """Examples [P, b]."""
        whole = self._examples(torch.get_default_dtype())
        inputs = taken_from(whole.inputs[0], indices)
        targets = taken_from(whole.targets[0], indices)
        return Regression(inputs, targets)

    def losses(self, cloud: Tensor, batch: Regression | None = None) -> Tensor:
        """[P]."""
        if batch is None:
            batch = self._examples(cloud.dtype)
        x = batch.inputs.to(cloud.dtype)
        y = batch.targets.to(cloud.dtype)
        outputs = x @ cloud[:, :, None]  # [P, b, 1]
        residuals = outputs[:, :, 0] - y
        misfits = 0.5 * residuals.square().mean(1)
        norms = cloud.square().sum(1)
        penalties = 0.5 * self.weight_decay * norms
        return misfits + penalties

    def _examples(self, dtype: torch.dtype) -> Regression:
        if dtype not in self._moved:
            inputs = self.inputs[None].to(dtype)
            targets = self.targets[None].to(dtype)
            self._moved[dtype] = Regression(inputs, targets)
        return self._moved[dtype]

    # answers

    @cached_property
    def hessian(self) -> Tensor:
        """H = XᵀX/N + λ, [n, n]."""
        eye = torch.eye(self.dim, dtype=torch.float64, device=self.device)
        of_data = self.inputs.T @ self.inputs / self.count
        return of_data + self.weight_decay * eye

    def minima(self) -> Tensor:
        """[1, n]: the normal equations."""
        slope = self.inputs.T @ self.targets / self.count
        solved: Tensor = torch.linalg.solve(self.hessian, slope)
        return solved[None]

    def noise_covariance(self, cloud: Tensor) -> Tensor:
        """C(θ) of one sample at every point, [P, n, n]."""
        x = self.inputs.to(cloud.dtype)
        y = self.targets.to(cloud.dtype)
        residuals = cloud @ x.T - y
        gradients = x * residuals[:, :, None]  # [P, N, n], without λθ, which is no noise
        mean = gradients.mean(1)
        squares = gradients.mT @ gradients / self.count
        of_mean = mean[:, :, None] * mean[:, None, :]
        return squares - of_mean

    def stationary_covariance(
        self,
        learning_rate: PositiveFloat,
        batch_size: int,
        momentum: float = 0.0,
        without_replacement: bool = False,
    ) -> Tensor:
        """Σ [n, n] of θ at stationarity, exact: the fixed point of Σ = K[(C* + ⟨x xᵀΣx xᵀ⟩ −
        (XᵀX/N)Σ(XᵀX/N))/b].

        K gives the Σ of additive noise: in H's eigenbasis Σ_ij = noise_ij/[(1−μ)(h_i+h_j)/η +
        (μh_i−h_j)(h_i−μh_j)/(1−μ²)], at μ = 0 the solution of HΣ + ΣH − ηHΣH = η·noise. Without
        replacement inside a batch the noise is × (N−b)/(N−1).
        """
        h, basis = torch.linalg.eigh(self.hessian)
        highest = float(h[-1])
        limit = 2 * (1 + momentum) / highest
        if learning_rate >= limit:
            raise UserError(
                f"learning_rate={learning_rate:g} has no stationary state; stay below {limit:g}"
            )
        drag = drag_of(h[:, None], h, learning_rate, momentum)
        correction = 1.0
        if without_replacement:
            correction = (self.count - 1) / (self.count - batch_size)
        damping = batch_size * correction * drag
        x = self.inputs @ basis
        gram = x.T @ x / self.count
        at_minimum = self.noise_covariance(self.minima())[0]
        fixed = basis.T @ at_minimum @ basis
        covariance = fixed / damping
        most = 1e6 * float(fixed.trace())
        for _ in range(ROUNDS):
            spread = ((x @ covariance) * x).sum(1, keepdim=True)  # xᵀΣx [N, 1]
            squares = (spread * x).T @ x / self.count
            noise = fixed + squares - gram @ covariance @ gram
            new: Tensor = noise / damping
            is_finite = bool(torch.isfinite(new).all())
            if not is_finite or float(new.trace()) > most:
                break
            change = float((new - covariance).norm())
            if change < 1e-13 * float(new.norm()):
                found: Tensor = basis @ new @ basis.T
                return found
            covariance = new
        raise UserError(
            f"learning_rate={learning_rate:g} with batch_size={batch_size}: the noise grows "
            f"faster than the cloud is held "
            "together; lower the learning rate or take larger batches"
        )

    def stationary_area(self, learning_rate: PositiveFloat, batch_size: int) -> Tensor:
        """⟨θΔθᵀ − Δθθᵀ⟩ of a step at rest, −η(ΣH − HΣ) [n, n], exact, without momentum."""
        covariance = self.stationary_covariance(learning_rate, batch_size)
        return linear_area(self.hessian, covariance, learning_rate)


def standardised(x: Tensor) -> Tensor:
    """Numbers [N], centred and scaled to variance 1."""
    return (x - x.mean()) / x.std(correction=0)
