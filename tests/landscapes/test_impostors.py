"""Networks and losses that look like functions of their parameters and are none: rows that see each
other, gradients that are no derivatives, less than float32; each refused in a line."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from sgdtheory.data.digits import digits
from sgdtheory.data.examples import Examples
from sgdtheory.errors import UserError
from sgdtheory.landscapes.formula_check import formula_check
from sgdtheory.landscapes.network import Network
from sgdtheory.losses.custom import Custom
from sgdtheory.models.custom import custom
from sgdtheory.protocol import Cloud, hvp, value_and_grad
from sgdtheory.rng import stream

FEW = digits().first(60, 40)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))


class Around(nn.Module):
    """An MLP with something done to its hidden units [b, 16], or to its weights [16, 64]."""

    def __init__(
        self,
        hidden: Callable[[Tensor], Tensor] = torch.tanh,
        weights: Callable[[Tensor], Tensor] = lambda weight: weight,
    ) -> None:
        super().__init__()
        self.below, self.above = nn.Linear(64, 16), nn.Linear(16, 10)
        self.hidden, self.weights = hidden, weights

    def forward(self, images: Tensor) -> Tensor:
        below = F.linear(images.flatten(1), self.weights(self.below.weight), self.below.bias)
        out: Tensor = self.above(self.hidden(below))
        return out


class Rows(nn.Module):
    """Rows of a picture as a sequence, by an LSTM that takes the batch for time."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(8, 12), nn.Linear(12, 10)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self.lstm(images[:, 0])[0][:, -1])
        return out


class Placed(nn.Module):
    """Positions added along the batch, as to sequences that come second."""

    def __init__(self) -> None:
        super().__init__()
        places = torch.randn(500, 1, 16, generator=stream(0, "places"))
        self.register_buffer("places", places)
        self.embed, self.head = nn.Linear(8, 16), nn.Linear(16, 10)

    def forward(self, images: Tensor) -> Tensor:
        rows = self.embed(images[:, 0])
        out: Tensor = self.head(torch.tanh(rows + self.places[: len(rows)]).mean(1))
        return out


class Routed(nn.Module):
    """Experts that take the first four of a batch who ask."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(64, 3)
        self.experts = nn.ModuleList(nn.Linear(64, 10) for _ in range(3))

    def forward(self, images: Tensor) -> Tensor:
        x = images.flatten(1)
        chance = self.gate(x).softmax(-1)
        asked = F.one_hot(chance.argmax(-1), 3)
        is_in = ((asked.cumsum(0) * asked).sum(-1) <= 4).to(x.dtype)
        given = torch.stack([expert(x) for expert in self.experts], 1)
        return (given * (asked * chance)[..., None]).sum(1) * is_in[:, None]


def grouped(x: Tensor) -> Tensor:
    """Ghost groups of five."""
    return torch.cat([torch.tanh(part - part.mean(0)) for part in x.split(5)])


def noise_by_place(x: Tensor) -> Tensor:
    source = torch.Generator().manual_seed(3)
    return torch.tanh(x + torch.randn(x.shape, generator=source, dtype=x.dtype))


ROWS: dict[str, Callable[[], nn.Module]] = {
    "time_first": Rows,
    "places_of_the_batch": Placed,
    "experts_with_a_capacity": Routed,
    "less_the_first": lambda: Around(lambda x: x - x[:1]),
    "by_how_many": lambda: Around(lambda x: x / len(x) ** 0.5),
    "running_sum": lambda: Around(lambda x: torch.tanh(x.cumsum(0))),
    "ghost_groups": lambda: Around(grouped),
    "noise_by_place": lambda: Around(noise_by_place),
    "other_when_many": lambda: Around(lambda x: torch.tanh(x) if len(x) < 100 else x),
}


class Sign(torch.autograd.Function):
    """Straight through (Bengio et al. 2013)."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.sign()

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        return gradients[0]


class Sine(torch.autograd.Function):
    """Differentiable once."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)  # type: ignore[attr-defined]
        return x.sin()

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient * x.cos()


class Kept(torch.autograd.Function):
    """What is kept for the way back is cut off from the graph."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        ctx.slope = x.detach().cos()  # type: ignore[attr-defined]
        return x.sin()

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        slope: Tensor = ctx.slope  # type: ignore[attr-defined]
        return gradients[0] * slope


def without_gradient(x: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.tanh(x)


class Recomputed(nn.Module):
    """A block whose forward pass is done again on the way back, by weights of another dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.below, self.middle, self.above = (
            nn.Linear(64, 16),
            nn.Linear(16, 16),
            nn.Linear(16, 10),
        )

    def block(self, x: Tensor) -> Tensor:
        weight, bias = self.middle.weight.to(x.dtype), self.middle.bias.to(x.dtype)
        return torch.tanh(F.linear(x, weight, bias))

    def forward(self, images: Tensor) -> Tensor:
        below = torch.tanh(self.below(images.flatten(1)))
        out: Tensor = self.above(checkpoint(self.block, below, use_reentrant=False))
        return out


SLOPES: dict[str, Callable[[], nn.Module]] = {
    "straight_through": lambda: Around(weights=Sign.apply),
    "detached_norm": lambda: Around(weights=lambda w: w / w.norm(dim=1, keepdim=True).detach()),
    "partly_without_gradient": lambda: Around(without_gradient),
    "data": lambda: Around(weights=lambda w: w * w.data.norm()),
    "recomputed": Recomputed,
}
PRODUCTS = {"once": lambda: Around(Sine.apply), "cut_off": lambda: Around(Kept.apply)}


def in_less(x: Tensor) -> Tensor:
    return torch.tanh(x.bfloat16() if x.dtype == torch.float32 else x).to(x.dtype)


def network(factory: Callable[[], nn.Module], data: Examples = FEW) -> Network:
    return Network(partial(custom, factory=factory), data)


def refused(factory: Callable[[], nn.Module], says: str, data: Examples = FEW) -> None:
    with pytest.raises(UserError, match=says) as fault:
        network(factory, data).check()
    assert len(str(fault.value).splitlines()) == 1


@pytest.mark.parametrize("name", ROWS)
def test_rows_that_see_each_other(name: str) -> None:
    refused(ROWS[name], "depends on which other examples are in the batch|see each other")


@pytest.mark.parametrize("name", SLOPES)
def test_gradients_that_are_no_derivatives(name: str) -> None:
    refused(SLOPES[name], "is not the derivative of its loss")


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_that_are_no_derivatives(name: str) -> None:
    refused(PRODUCTS[name], "second derivatives of Around are wrong")


def test_gradients_of_codes_by_how_often_they_come() -> None:
    class Bag(nn.Module):
        def __init__(self, often: bool) -> None:
            super().__init__()
            padding = None if often else 0
            self.codes = nn.Embedding(11, 8, padding, scale_grad_by_freq=often)
            self.head = nn.Linear(8, 5)

        def forward(self, codes: Tensor) -> Tensor:
            out: Tensor = self.head(torch.tanh(self.codes(codes)).mean(1))
            return out

    codes = torch.randint(11, (60, 7), generator=stream(0, "codes"))
    data = Examples(codes, torch.arange(60) % 5, codes, torch.arange(60) % 5, 5, "codes")
    assert "same bits twice" in network(lambda: Bag(False), data).check()
    refused(lambda: Bag(True), "along codes.weight .* by differences", data)


def test_less_than_float32() -> None:
    refused(
        lambda: Around(in_less), "in float32 are off by .* does its forward pass compute in less"
    )


def test_parameters_that_share_numbers() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.below, self.back, self.head = (
                nn.Linear(64, 16),
                nn.Linear(16, 64),
                nn.Linear(64, 10),
            )
            self.back.weight = nn.Parameter(self.below.weight.t())

        def forward(self, images: Tensor) -> Tensor:
            out: Tensor = self.head(self.back(torch.tanh(self.below(images.flatten(1)))))
            return out

    refused(Turned, r"(below|back)\.weight and (below|back)\.weight of Turned share their numbers")


def test_weights_that_are_rescaled_when_they_are_looked_up() -> None:
    codes = torch.arange(60)[:, None] % 11
    data = Examples(codes, torch.arange(60) % 5, codes, torch.arange(60) % 5, 5, "codes")

    def bag() -> nn.Module:
        return nn.Sequential(nn.Embedding(11, 8, max_norm=4.0), nn.Flatten(), nn.Linear(8, 5))

    refused(bag, "0 has max_norm=4", data)


def test_batch_norms_that_their_author_froze() -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.below, self.norm, self.head = (
                nn.Linear(64, 16),
                nn.BatchNorm1d(16),
                nn.Linear(16, 10),
            )

        def train(self, mode: bool = True) -> "Frozen":
            super().train(mode)
            self.norm.eval()
            return self

        def forward(self, images: Tensor) -> Tensor:
            out: Tensor = self.head(torch.relu(self.norm(self.below(images.flatten(1)))))
            return out

    refused(Frozen, "batch norm norm stays in evaluation mode")


def test_inputs_that_are_written_over_stay() -> None:
    """A first layer in place: every pass sees the examples, and they are the user's own."""

    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(12, 5)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(x.mul_(2))
            return out

    inputs = torch.randn(60, 12, generator=stream(0, "x"))
    targets = torch.arange(60) % 5
    before = inputs.clone()
    landscape = network(InPlace, Examples(inputs, targets, inputs, targets, 5, "x"))
    landscape.check()
    theta = landscape.init(1, stream(0, "init"))
    weights = landscape.function.weights(theta[0])
    exact = F.cross_entropy(
        F.linear(2 * before, weights["head.weight"], weights["head.bias"]), targets
    )
    for _ in range(2):
        assert float(landscape.score(theta, "train").losses.mean()) == pytest.approx(
            float(exact), abs=1e-6
        )
    assert torch.equal(inputs, before)


@pytest.mark.parametrize("dim", [0, 1, None])
def test_products_through_weight_norm(dim: int | None) -> None:
    """Torch's own second derivative of it is off by a fifth."""

    def normed() -> nn.Module:
        layer = parametrizations.weight_norm(nn.Linear(64, 16), dim=dim)
        return nn.Sequential(nn.Flatten(), layer, nn.Tanh(), nn.Linear(16, 10))

    landscape = network(normed)
    cloud = landscape.init(1, stream(0, "init")).double()
    vector = torch.randn(cloud.shape, generator=stream(0, "v"), dtype=torch.float64)
    step = 1e-5
    above, below = (value_and_grad(landscape, cloud + e * vector)[1] for e in (step, -step))
    difference = (above - below) / (2 * step)
    product = hvp(landscape, cloud, vector)
    assert float((product - difference).norm() / difference.norm()) < 1e-6


# losses


def weighted(outputs: Tensor, targets: Tensor) -> Tensor:
    weights = torch.arange(1.0, 11.0).to(outputs)[targets]
    return weights * F.cross_entropy(outputs, targets, reduction="none") / weights.mean()


LOSSES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], str]] = {
    "contrastive": (
        lambda outputs, targets: -(outputs @ outputs.mT).log_softmax(1).diagonal(),
        "depends on the others of its batch",
    ),
    "weights_over_their_mean": (weighted, "depends on the others of its batch"),
    "ranks": (
        lambda outputs, targets: outputs.sum(1).argsort().to(outputs) * outputs.square().sum(1),
        "depends on the others of its batch",
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_that_see_other_rows(name: str) -> None:
    loss, says = LOSSES[name]
    landscape = Network(partial(custom, factory=mlp), FEW, loss=Custom(loss))
    with pytest.raises(UserError, match=f"landscape.loss: .*{says}"):
        landscape.check()


def test_a_loss_that_is_broadcast() -> None:
    """[b, 1] − [b] is [b, b], and its mean over an axis is [b] again."""
    inputs = torch.randn(60, 12, generator=stream(0, "x"))
    targets = torch.randn(60, generator=stream(0, "y"))
    data = Examples(inputs, targets, inputs, targets, 1, "numbers")
    loss = Custom(lambda outputs, wanted: (outputs - wanted).square().mean(1))
    landscape = Network(partial(custom, factory=lambda: nn.Linear(12, 1)), data, loss=loss)
    with pytest.raises(UserError, match=r"outputs \[24, 1\] and targets \[24\] are broadcast"):
        landscape.check()


# landscapes of one's own


class Bowl:
    """½|θ|², and what may be wrong with it."""

    dim = 2

    def init(self, points: int, source: torch.Generator) -> Cloud:
        return torch.randn(points, 2, generator=source)

    def losses(self, cloud: Cloud, batch: object = None) -> Tensor:
        return 0.5 * cloud.square().sum(1)


class Crowded(Bowl):
    def losses(self, cloud: Cloud, batch: object = None) -> Tensor:
        return 0.5 * (cloud - 0.1 * cloud.mean(0)).square().sum(1)


class Counted(Bowl):
    calls = 0

    def losses(self, cloud: Cloud, batch: object = None) -> Tensor:
        self.calls += 1
        return super().losses(cloud) * (1 + 1e-4 * self.calls)


class Held(Bowl):
    def losses(self, cloud: Cloud, batch: object = None) -> Tensor:
        return 0.5 * (cloud * cloud.detach()).sum(1)


@pytest.mark.parametrize(
    ("landscape", "says"),
    [
        (Crowded(), "depends on the other points of the cloud"),
        (Counted(), "another objective at the same points"),
        (Held(), "is not the derivative of its objective"),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_formulas_are_looked_at_too(landscape: Bowl, says: str) -> None:
    formula_check(Bowl())
    with pytest.raises(UserError, match=says):
        formula_check(landscape)
