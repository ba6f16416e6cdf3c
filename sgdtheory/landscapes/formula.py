"""Landscapes given by a formula: what they share, so that each file says only its formula and its
answers.

A subclass speaks of its native coordinates x [k] alone. Here they become parameters θ [n]: either θ
= x, or the formula is put into R^ambient at a random angle, so that no method can profit from
coordinates that happen to be natural.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Annotated

import torch
from torch import Generator, Tensor

from sgdtheory.annotations import NonNegative, NonNegativeInt, Place, PositiveFloat, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.rng import stream


@dataclass(frozen=True, kw_only=True)
class Formula(ABC):
    """L(θ) = energy(Fθ) + ½·stiffness·|θ − FᵀFθ|², F [k, n] with orthonormal rows (F = 1 where
    `ambient` is None).

    A mini-batch of b samples tilts it: L_B(θ) = L(θ) + ξ·θ, ξ ~ N(0, C/b); its gradient is
    unbiased, its noise is ξ. `noise`: C = noise·I, the gradient covariance of one sample.
    `ambient`: n, or None for native coordinates. `stiffness`: curvature in the directions that the
    formula knows nothing about. `rotation_seed`: which angle. Answers [M, n] are float64 on
    `device`; `losses` computes in the cloud's own dtype.
    """

    noise: NonNegative = 1.0
    ambient: PositiveInt | None = None
    stiffness: PositiveFloat = 1.0
    rotation_seed: NonNegativeInt = 0
    device: Annotated[str, Place] = "cpu"

    def __post_init__(self) -> None:
        if self.ambient is not None and self.ambient < self.native_dim:
            raise UserError(
                f"{type(self).__name__}: ambient={self.ambient} is too small for "
                f"{self.native_dim} native directions; "
                f"ask for ambient={self.native_dim} or more, or null"
            )

    # What a subclass says, in native coordinates.

    @property
    @abstractmethod
    def native_dim(self) -> int:
        """k."""

    @abstractmethod
    def energy(self, x: Tensor) -> Tensor:
        """[P, k] → [P], row by row, twice differentiable."""

    def native_minima(self) -> Tensor:
        """Stated minima [M, k], float64; none unless a subclass knows some."""
        return torch.zeros(0, self.native_dim, dtype=torch.float64)

    def native_saddles(self) -> Tensor:
        """Stated saddles of index one [K, k], float64; none unless a subclass knows some."""
        return torch.zeros(0, self.native_dim, dtype=torch.float64)

    def box(self) -> Tensor:
        """Where fresh points are drawn: lowest and highest x, [2, k], float64."""
        high = torch.full((self.native_dim,), 1.5, dtype=torch.float64)
        return torch.stack([-high, high])

    def noise_shape(self) -> Tensor | None:
        """R [k, k] with C = noise·RRᵀ in native coordinates; None: the identity."""
        return None

    # What everybody else asks for, in θ.

    @property
    def dim(self) -> int:
        """n."""
        return self.ambient or self.native_dim

    def losses(self, cloud: Tensor, batch: Tensor | None = None) -> Tensor:
        """The objective of each point [P]; `batch` ξ [P, n] or [1, n] tilts it."""
        losses = self._whole(cloud)
        if batch is not None:
            tilts = batch.to(cloud.dtype) * cloud
            losses = losses + tilts.sum(1)
        return losses

    def sample(self, points: int, size: int, stream: Generator) -> Tensor:
        """One mini-batch a point: ξ [points, n] ~ N(0, C/size)."""
        scale = sqrt(self.noise / size)
        draws = torch.randn(points, self.dim, generator=stream)
        draws = draws.to(self.device) * scale
        if self.root is None:
            return draws
        return draws @ self.constant("root", draws).T

    def init(self, points: int, stream: Generator) -> Tensor:
        """[points, n] uniform in the box; in the other directions Gaussian, about one away from x
        all together."""
        low, high = self.box()
        shares = torch.rand(points, self.native_dim, generator=stream, dtype=torch.float64)
        x = low + (high - low) * shares
        cloud: Tensor = x
        if self.ambient is not None:
            draws = torch.randn(points, self.dim, generator=stream, dtype=torch.float64)
            away = draws / sqrt(self.dim)
            frame = self.frame.cpu()
            cloud = away + (x - away @ frame.T) @ frame
        return cloud.to(self.device, torch.get_default_dtype())

    def minima(self) -> Tensor:
        """Stated minima [M, n]."""
        return self.embed(self.native_minima())

    def saddles(self) -> Tensor:
        """Stated saddles of index one [K, n]."""
        return self.embed(self.native_saddles())

    def noise_covariance(self, cloud: Tensor) -> Tensor:
        """C of one sample, [P, n, n]: the same at every point, so one matrix is shown P times and
        not copied."""
        n = self.dim
        identity = torch.eye(n, dtype=cloud.dtype, device=cloud.device)
        root = identity
        if self.root is not None:
            root = self.constant("root", cloud)
        covariance: Tensor = self.noise * root @ root.T
        return covariance.expand(cloud.shape[0], n, n)

    # Between the two kinds of coordinates.

    def embed(self, x: Tensor) -> Tensor:
        """Native coordinates [..., k] → θ [..., n] on the landscape's device, in x's dtype; the
        rest is 0."""
        x = x.to(self.device)
        if self.ambient is None:
            return x
        return x @ self.constant("frame", x)

    def native(self, theta: Tensor) -> Tensor:
        """θ [..., n] → native coordinates [..., k]."""
        if self.ambient is None:
            return theta
        return theta @ self.constant("frame", theta).T

    @cached_property
    def frame(self) -> Tensor:
        """F [k, n]: uniformly random orthonormal rows, float64 (QR of a Gaussian, R's diagonal made
        positive)."""
        generator = stream(self.rotation_seed, "rotation")
        q, r = torch.linalg.qr(
            torch.randn(self.dim, self.native_dim, generator=generator, dtype=torch.float64)
        )
        columns: Tensor = q * r.diagonal().sign()
        frame = columns.T.contiguous()
        return frame.to(self.device)

    @cached_property
    def root(self) -> Tensor | None:
        """R [n, n] with C = noise·RRᵀ, float64; None: the identity."""
        shape = self.noise_shape()
        if shape is None:
            return None
        shape = shape.to(self.device)
        if self.ambient is None:
            return shape
        eye = torch.eye(self.dim, dtype=torch.float64, device=self.device)
        return eye + self.frame.T @ (shape @ self.frame - self.frame)

    @cached_property
    def _moved(self) -> dict[tuple[str, torch.dtype, torch.device], Tensor]:
        return {}

    def constant(self, name: str, like: Tensor) -> Tensor:
        """The float64 tensor attribute `name` […] in the dtype and on the device of `like`; moved
        once, then kept."""
        key = (name, like.dtype, like.device)
        if key not in self._moved:
            # kept for later calls: neither inference mode nor a transform of torch.func may leave
            # its mark on it
            with torch.inference_mode(False), torch._C._DisableFuncTorch():
                value = getattr(self, name)
                self._moved[key] = value.to(device=like.device, dtype=like.dtype)
        return self._moved[key]

    def _whole(self, cloud: Tensor) -> Tensor:
        if self.ambient is None:
            return self.energy(cloud)
        frame = self.constant("frame", cloud)  # [k, n]
        x = cloud @ frame.T  # [P, k]
        if self.ambient == self.native_dim:  # nothing is left but rounding
            return self.energy(x)
        rest = cloud - x @ frame  # [P, n]; |θ|² − |x|² would be cheaper and cancel in float32
        energies = self.energy(x)
        squares = rest.square().sum(1)
        return energies + 0.5 * self.stiffness * squares
