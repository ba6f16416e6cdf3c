"""One-point convexity: whether descent points at a given end, from points, from a ball round each,
and in the mean over noise."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sgdtheory.annotations import PositiveFloat, PositiveInt
from sgdtheory.protocol import Cloud, Landscape, TensorsByName, value_and_grad
from sgdtheory.rng import stream
from sgdtheory.roles.examples import WithExamples, examples_of

ROWS = 64  # points evaluated at once


@dataclass(frozen=True)
class OnePoint:
    """⟨−∇L(θ), end − θ⟩ > 0 says that a small step down shortens the way to the end (Kleinberg, Li
    & Yuan 2018, 1802.06175).

    `points`: how many there are in a ball of `radius` round each θ, and how many draws of the
    mini-batch noise.
    """

    points: PositiveInt = 10
    radius: PositiveFloat = 0.5

    def measure(
        self,
        landscape: Landscape,
        cloud: Cloud,
        end: Tensor,
        other: Tensor,
        rates: Tensor,
        batch_size: int,
        seed: int,
    ) -> TensorsByName:
        """By name, of a cloud [S, n]: `loss` and `smoothed_loss` E_ω L(θ − ηω) [S]; `product`, its
        `cosine`, and `other`, the product towards another end, [S]; `ball` [S, points], each
        from its own place; `smoothed`, with E_ω ∇L(θ − ηω), [S]. η `rates` [S], ω = g_B − ∇L
        with mini-batches of `batch_size`, drawn i.i.d."""
        count = len(cloud)
        examples = examples_of(landscape)
        losses, gradients = _evaluated(landscape, cloud)
        way = end - cloud
        offsets = self._in_ball(count * self.points, end, seed)
        ball = cloud.repeat_interleave(self.points, 0) + offsets
        _, ball_gradients = _evaluated(landscape, ball)
        kicked = self._kicked(
            examples,
            cloud,
            gradients,
            rates,
            batch_size,
            seed,
        )
        kicked_losses, kicked_gradients = _evaluated(landscape, kicked)
        smoothed = kicked_gradients.view(count, self.points, -1).mean(1)  # [S, n]
        return {
            "loss": losses,
            "smoothed_loss": kicked_losses.view(count, self.points),
            "product": -(gradients * way).sum(1),
            "cosine": -torch.cosine_similarity(gradients, way),
            "ball": -(ball_gradients * (end - ball)).sum(1).view(count, self.points),
            "smoothed": -(smoothed * way).sum(1),
            "other": -(gradients * (other - cloud)).sum(1),
        }

    def _in_ball(self, count: int, like: Tensor, seed: int) -> Tensor:
        """Uniform in the ball round 0, [count, n]."""
        generator = stream(seed, "ball")
        n = like.numel()
        draws = torch.randn(count, n, generator=generator, dtype=torch.float64)
        uniform = torch.rand(count, 1, generator=generator, dtype=torch.float64)
        lengths = self.radius * uniform ** (1 / n)
        inside: Tensor = lengths * draws / draws.norm(dim=1, keepdim=True)
        return inside.to(like)

    def _kicked(
        self,
        landscape: WithExamples,
        cloud: Cloud,
        gradients: Tensor,
        rates: Tensor,
        size: int,
        seed: int,
    ) -> Cloud:
        """θ − ηω [S·points, n]."""
        kicked = []
        for k, theta in enumerate(cloud):
            source = stream(seed, "kicks", k)
            drawn = torch.randint(landscape.count, (self.points, size), generator=source)
            copies = theta.expand(self.points, -1)
            noisy = value_and_grad(landscape, copies, landscape.batch(drawn.to(theta.device)))[1]
            kicked.append(copies - rates[k] * (noisy - gradients[k]))
        return torch.cat(kicked)


def _evaluated(landscape: Landscape, cloud: Cloud) -> tuple[Tensor, Tensor]:
    chunks = [value_and_grad(landscape, rows) for rows in cloud.split(ROWS)]
    losses, gradients = zip(*chunks, strict=True)
    return torch.cat(losses), torch.cat(gradients)
