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
        pixels = data.scaled(data.train_images, torch.float64).flatten(1)
        # X [N, n]
        self.inputs = torch.cat([pixels, torch.ones(len(pixels), 1, dtype=torch.float64)], 1).to(
            self.device
        )
        labels = data.train_labels.double()
        # y [N]
        self.targets = ((labels - labels.mean()) / labels.std(correction=0)).to(self.device)
        self.count, self.dim = self.inputs.shape
        self._moved = {torch.float64: Regression(self.inputs[None], self.targets[None])}

    def init(self, points: int, stream: Generator) -> Tensor:
        """Gaussian, of length about one."""
        cloud: Tensor = torch.randn(points, self.dim, generator=stream) / self.dim**0.5
        return cloud.to(self.device)

    def batch(self, indices: Tensor) -> Regression:
        """Examples [P, b]."""
        flat = indices.reshape(-1)
        shape = indices.shape
        whole = self._examples(torch.get_default_dtype())
        return Regression(
            whole.inputs[0].index_select(0, flat).view(*shape, self.dim),
            whole.targets[0].index_select(0, flat).view(shape),
        )

    def losses(self, cloud: Tensor, batch: Regression | None = None) -> Tensor:
        """[P]."""
        x, y = (
            self._examples(cloud.dtype)
            if batch is None
            else (part.to(cloud.dtype) for part in batch)
        )
        left = (x @ cloud[:, :, None])[:, :, 0] - y  # [P, b]
        return 0.5 * left.square().mean(1) + 0.5 * self.weight_decay * cloud.square().sum(1)

    def _examples(self, dtype: torch.dtype) -> Regression:
        if dtype not in self._moved:
            self._moved[dtype] = Regression(
                self.inputs[None].to(dtype), self.targets[None].to(dtype)
            )
        return self._moved[dtype]

    # answers

    @cached_property
    def hessian(self) -> Tensor:
        """H = XᵀX/N + λ, [n, n]."""
        eye = torch.eye(self.dim, dtype=torch.float64, device=self.device)
        return self.inputs.T @ self.inputs / self.count + self.weight_decay * eye

    def minima(self) -> Tensor:
        """[1, n]: the normal equations."""
        solved: Tensor = torch.linalg.solve(self.hessian, self.inputs.T @ self.targets / self.count)
        return solved[None]

    def noise_covariance(self, cloud: Tensor) -> Tensor:
        """C(θ) of one sample at every point, [P, n, n]."""
        x = self.inputs.to(cloud.dtype)
        # [P, N, n], without λθ, which is no noise
        each = x * (cloud @ x.T - self.targets.to(cloud.dtype))[:, :, None]
        mean = each.mean(1)
        return each.mT @ each / self.count - mean[:, :, None] * mean[:, None, :]

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
        limit = 2 * (1 + momentum) / float(h[-1])
        if learning_rate >= limit:
            raise UserError(
                f"learning_rate={learning_rate:g} has no stationary state; stay below {limit:g}"
            )
        eta = learning_rate
        mu = momentum
        a = h[:, None]
        c = h[None, :]
        drag = (1 - mu) * (a + c) / eta + (mu * a - c) * (a - mu * c) / (1 - mu**2)
        size = batch_size * (
            (self.count - 1) / (self.count - batch_size) if without_replacement else 1.0
        )
        x = self.inputs @ basis
        gram = x.T @ x / self.count
        fixed = basis.T @ self.noise_covariance(self.minima())[0] @ basis
        covariance = fixed / (size * drag)
        for _ in range(ROUNDS):
            spread = ((x @ covariance) * x).sum(1, keepdim=True)  # xᵀΣx [N, 1]
            new: Tensor = (fixed + (spread * x).T @ x / self.count - gram @ covariance @ gram) / (
                size * drag
            )
            if not bool(torch.isfinite(new).all()) or float(new.trace()) > 1e6 * float(
                fixed.trace()
            ):
                break
            if float((new - covariance).norm()) < 1e-13 * float(new.norm()):
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
        return linear_area(
            self.hessian, self.stationary_covariance(learning_rate, batch_size), learning_rate
        )
