"""One example in a batch is what it is among others: modules that end in `squeeze()` are right, those
that ask how many there are refused."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import sgdtheory
from sgdtheory.data.examples import Examples
from sgdtheory.errors import UserError
from sgdtheory.geometry.gradient_noise import example_gradients
from sgdtheory.landscapes.network import Network
from sgdtheory.notebook.points import point_of
from sgdtheory.protocol import TensorsByName, value_and_grad
from sgdtheory.rng import stream

COUNT = 12
ROUNDING = 1e-12  # relative, of products of a few numbers in float64
IMAGES = torch.randn(COUNT, 1, 6, 6, generator=stream(0, "images"))
CLASSES = torch.arange(COUNT) % 3
NUMBERS = torch.randn(COUNT, generator=stream(0, "numbers"))


class Body(nn.Module):
    """A network whose one line about shapes is written so that it names the axis, or carelessly."""

    outputs = 3

    def __init__(self, is_careless: bool) -> None:
        super().__init__()
        self.is_careless = is_careless
        torch.manual_seed(1)
        self.make()

    def make(self) -> None:
        raise NotImplementedError

    def squeezed(self, x: Tensor, *axes: int) -> Tensor:
        return x.squeeze() if self.is_careless else x.squeeze(axes)


class Number(Body):
    outputs = 1

    def make(self) -> None:
        self.head = nn.Linear(36, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.squeezed(self.head(images.flatten(1)), -1)


class Logits(Body):
    def make(self) -> None:
        self.head = nn.Linear(36, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.squeezed(self.head(torch.tanh(images.flatten(1))))


class Pooled(Body):
    def make(self) -> None:
        self.body, self.head = nn.Conv2d(1, 5, 3), nn.Linear(5, 3)

    def forward(self, images: Tensor) -> Tensor:
        channels = torch.tanh(self.body(images)).mean((2, 3), keepdim=True)
        out: Tensor = self.head(self.squeezed(channels, -2, -1))
        return out


class Last(Body):
    """The last state of a GRU, normalised: of one vector it fails."""

    def make(self) -> None:
        self.body, self.norm = nn.GRU(6, 5, batch_first=True), nn.GroupNorm(1, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, images: Tensor) -> Tensor:
        _, state = self.body(images[:, 0])
        out: Tensor = self.head(self.norm(self.squeezed(state, 0)))
        return out


class Normed(Body):
    def make(self) -> None:
        self.body, self.norm, self.head = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        channels = torch.tanh(self.norm(self.body(images))).mean((2, 3), keepdim=True)
        out: Tensor = self.head(self.squeezed(channels, -2, -1))
        return out


KINDS = [Number, Logits, Pooled, Last, Normed]


def landscape_of(module: Body, count: int = COUNT) -> Network:
    """On `count` examples, tested on one."""
    is_number = module.outputs == 1
    targets = NUMBERS if is_number else CLASSES
    train, test = (IMAGES[:count], targets[:count]), (IMAGES[:1], targets[:1])
    loss = "mse" if is_number else "cross_entropy"
    return sgdtheory.landscape(module, train, test, loss=loss, weight_decay=0.01)  # type: ignore[return-value]


@pytest.mark.parametrize("kind", KINDS)
def test_squeeze_takes_no_axis_of_one_example(kind: Callable[[bool], Body]) -> None:
    careless, careful = kind(True), kind(False)
    found, expected = landscape_of(careless), landscape_of(careful)
    assert "same bits twice" in found.check()
    theta = point_of(expected, careful).double()
    assert torch.equal(point_of(found, careless).double(), theta)
    for indices in (torch.arange(1), torch.arange(COUNT)):  # in a batch of one point, and of many
        ours = example_gradients(found, theta, indices)
        theirs = example_gradients(expected, theta, indices)
        torch.testing.assert_close(ours, theirs, rtol=ROUNDING, atol=ROUNDING)
    for split in ("train", "test"):
        ours = found.score(theta[None], split).losses
        theirs = expected.score(theta[None], split).losses
        torch.testing.assert_close(ours, theirs, rtol=ROUNDING, atol=ROUNDING)


def test_the_noise_of_a_squeezed_number_is_that_by_hand() -> None:
    """Tr C = ⟨|2r_i(x_i, 1) − mean|²⟩ of squares of residuals r = wx + b − y."""
    module = Number(True)
    landscape = landscape_of(module)
    (row,) = sgdtheory.diagnose(landscape, [module], ["noise"], quiet=True).to_dicts()
    x = torch.cat([IMAGES.double().flatten(1), torch.ones(COUNT, 1, dtype=torch.float64)], 1)
    residuals = x @ point_of(landscape, module).double() - NUMBERS.double()
    gradients = 2 * residuals[:, None] * x
    trace = float((gradients - gradients.mean(0)).square().sum(1).mean())
    assert row["noise_trace"] == pytest.approx(trace, rel=ROUNDING)


@pytest.mark.parametrize("kind", [Number, Pooled])
def test_data_of_one_example(kind: Callable[[bool], Body]) -> None:
    found, expected = (landscape_of(kind(is_careless), 1) for is_careless in (True, False))
    assert "same bits twice" in found.check()
    theta = expected.init(2, stream(0, "init")).double()
    pairs = zip(value_and_grad(found, theta), value_and_grad(expected, theta), strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=ROUNDING, atol=ROUNDING)


class Asking(nn.Linear):
    """Twice as much of one example alone."""

    def forward(self, inputs: Tensor) -> Tensor:
        out = super().forward(inputs)
        return 2 * out if len(inputs) == 1 else out


class AskingInRows(nn.Linear):
    """The same where many points are evaluated together, and there alone."""

    def forward_rows(self, weights: TensorsByName, inputs: Tensor) -> Tensor:
        out = inputs @ weights["weight"].mT + weights["bias"][:, None]
        return 2 * out if inputs.shape[1] == 1 else out


class FirstAxisLost(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).mT


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Asking, "an output of Asking depends on .* their number"),
        (AskingInRows, "two examples of AskingInRows, each a batch of its own"),
        (FirstAxisLost, r"gives outputs \[1, 2\] for 2 examples; their first axis"),
    ],
)
def test_who_asks_how_many_there_are_is_refused(kind: type[nn.Linear], says: str) -> None:
    inputs = IMAGES.flatten(1)
    data = Examples(inputs, NUMBERS, inputs, NUMBERS, 1, "numbers")

    def model(shape: object, classes: int) -> nn.Module:
        return kind(36, 1)

    with pytest.raises(UserError, match=says) as fault:
        Network(model, data, loss="mse").check()
    assert len(str(fault.value).splitlines()) == 1
