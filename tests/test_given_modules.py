"""Modules given from Python: the landscape is of the function that they compute, or is refused, and
nothing of theirs is shared with it or changed."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune, weight_norm

import sgdtheory
from sgdtheory.errors import UserError
from sgdtheory.landscapes.network import Network
from sgdtheory.notebook.points import point_of
from sgdtheory.rng import stream

DRAWS = stream(0, "given modules")
X, Y = torch.randn(60, 5, generator=DRAWS), torch.arange(60) % 3
PICTURES = torch.randn(30, 1, 6, 6, generator=DRAWS)


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))


class Fourier(nn.Module):
    """Random features in a plain attribute that `reset_parameters` draws, or in a buffer that no
    state dict has."""

    B: Tensor

    def __init__(self, where: str) -> None:
        super().__init__()
        self.head = nn.Linear(16, 3)
        self.where = where
        self.reset_parameters()

    def reset_parameters(self) -> None:
        drawn = torch.randn(5, 16)
        if self.where == "buffer":
            self.register_buffer("B", drawn, persistent=False)
        else:
            self.B = drawn

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(torch.sin(x @ self.B.to(x)))
        return out


class Tied(nn.Module):
    """A decoder that closes over its module, as a lambda does."""

    def __init__(self) -> None:
        super().__init__()
        self.below, self.head = nn.Linear(5, 8), nn.Linear(5, 3)
        self.decode = lambda hidden: hidden @ self.below.weight.to(hidden)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.decode(torch.tanh(self.below(x))))
        return out


class Scaled(nn.Module):
    """A `reset_parameters` that needs an argument."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 3)

    def reset_parameters(self, gain: float) -> None:
        nn.init.normal_(self.head.weight, 0.0, gain)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(x)
        return out


def pruned() -> nn.Module:
    module = mlp()
    prune.random_unstructured(module[0], "weight", 0.5)  # type: ignore[no-untyped-call]
    return module


def weight_normed() -> nn.Module:
    module = mlp()
    weight_norm(module[0])
    return module


def orthogonal() -> nn.Module:
    module = mlp()
    parametrizations.orthogonal(module[2])
    return module


def used_twice() -> nn.Module:
    inner = nn.Linear(8, 8)
    return nn.Sequential(nn.Linear(5, 8), inner, nn.Tanh(), inner, nn.Linear(8, 3))


def hooked() -> nn.Module:
    module = mlp()
    module[0].register_parameter("gain", nn.Parameter(torch.rand(8) + 0.5))
    module[0].register_forward_hook(lambda _, __, outputs: outputs * module[0].gain.to(outputs))
    return module


def convolutions(**how: bool) -> Callable[[], nn.Module]:
    def made() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, bias=False),
            nn.BatchNorm2d(4, **how),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64, 3),
        )

    return made


def fit(module: nn.Module, inputs: Tensor = X, targets: Tensor = Y) -> nn.Module:
    """By a loop of the user's own."""
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(20):
        optimiser.zero_grad()
        F.cross_entropy(module(inputs), targets).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return module


def own_loss(module: nn.Module, inputs: Tensor = X, targets: Tensor = Y) -> float:
    return float(F.cross_entropy(module(inputs).float(), targets).detach())


def told(landscape: Network, module: nn.Module) -> float:
    theta = point_of(landscape, module)
    return float(landscape.score(theta[None], "train").losses.mean())


@pytest.mark.parametrize(
    "make",
    [
        mlp,
        pruned,
        weight_normed,
        orthogonal,
        used_twice,
        Scaled,
        lambda: Fourier("plain"),
        lambda: Fourier("buffer"),
        lambda: mlp().double(),
        lambda: mlp().bfloat16(),
    ],
)
def test_a_landscape_is_of_the_module_as_it_was_given(make: Callable[[], nn.Module]) -> None:
    module = make()
    landscape = sgdtheory.landscape(module, (X, Y), weight_decay=0.0)
    landscape.check()
    dtype = next(module.parameters()).dtype
    rough = 0.05 if dtype == torch.bfloat16 else 1e-5
    assert told(landscape, module) == pytest.approx(own_loss(module, X.to(dtype)), rel=rough)


@pytest.mark.parametrize("how", [{}, {"track_running_stats": False}, {"affine": False}])
def test_batch_norms_are_compared_by_the_modules_own_statistics(how: dict[str, bool]) -> None:
    module = fit(convolutions(**how)(), PICTURES, Y[:30])
    landscape = sgdtheory.landscape(module, (PICTURES, Y[:30]))
    assert point_of(landscape, module).shape == (landscape.dim,)


@pytest.mark.parametrize("make", [Tied, hooked])
def test_weights_in_a_closure_are_refused_and_a_function_is_taken(
    make: Callable[[], nn.Module],
) -> None:
    with pytest.raises(UserError, match=r"closes over .* give a function that makes it"):
        sgdtheory.landscape(make(), (X, Y))
    module = make()
    landscape = sgdtheory.landscape(lambda: make(), (X, Y))
    assert told(landscape, module) == pytest.approx(own_loss(module), rel=1e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Fourier("buffer"), "B is not trained, and another one in the module"),
        (lambda: Fourier("plain"), "a point: outputs of the Fourier itself .* differ by"),
    ],
)
def test_a_point_with_other_constants_is_refused(make: Callable[[], nn.Module], words: str) -> None:
    one, other = make(), make()
    landscape = sgdtheory.landscape(one, (X, Y))
    assert told(landscape, one) == pytest.approx(own_loss(one), rel=1e-5)
    for call in (sgdtheory.diagnose, sgdtheory.connect):
        points = ([other],) if call is sgdtheory.diagnose else (one, other)
        with pytest.raises(UserError, match=words):
            call(landscape, *points)  # type: ignore[operator]
    with pytest.raises(UserError, match=words):
        sgdtheory.sweep_temperature(landscape, other)


def test_a_module_is_left_as_it_was() -> None:
    module = convolutions()()
    module[0].weight.requires_grad_(False)
    module[1].eval()
    before = [(dict(vars(part)), part.training) for part in module.modules()]
    state = {name: value.clone() for name, value in module.state_dict().items()}
    draws = torch.random.get_rng_state()
    landscape = sgdtheory.landscape(module.train(), (PICTURES, Y[:30]))
    modes = [part.training for part in module.modules()]
    assert torch.equal(torch.random.get_rng_state(), draws)
    point_of(landscape, module)
    assert [part.training for part in module.modules()] == modes
    for part, (attributes, _) in zip(module.modules(), before, strict=True):
        assert vars(part).keys() == attributes.keys()
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert [p.requires_grad for p in module.parameters()] == [False, True, True, True, True]
    assert all(p.grad is None for p in module.parameters())


class Merging(nn.Linear):
    """Merges its low rank into its weights in evaluation mode, as loralib's layers do."""

    def __init__(self) -> None:
        super().__init__(5, 3)
        self.low = nn.Parameter(torch.rand(3, 5))
        self.merged = False

    def train(self, mode: bool = True) -> "Merging":
        if mode == self.merged:
            self.weight.data += -self.low.data if mode else self.low.data
            self.merged = not mode
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight if self.merged else self.weight + self.low
        return F.linear(x, weight, self.bias)


def test_weights_that_evaluation_mode_moves_are_put_back() -> None:
    module = Merging()
    before = module.weight.detach().clone()
    with pytest.raises(UserError, match="landscape: outputs of the Merging itself"):
        sgdtheory.landscape(module, (X, Y))
    assert torch.equal(module.weight, before) and module.training and not module.merged


def test_what_happens_to_the_users_own_later_changes_no_landscape() -> None:
    module, inputs, targets = Fourier("buffer"), X.clone(), Y.clone()
    landscape = sgdtheory.landscape(module, (inputs, targets))
    arrays = sgdtheory.landscape(module, (inputs.numpy(), targets.numpy()))
    part = sgdtheory.landscape(module, (inputs, targets), parameters=".*bias")
    theta, bias = landscape.vector(module).clone(), part.vector(module).clone()
    pairs = ((landscape, theta), (arrays, theta), (part, bias))
    before = [float(found.losses(point[None])) for found, point in pairs]
    fit(module)
    module.B -= 1
    inputs -= 3
    targets += 1
    targets %= 3
    assert [float(found.losses(point[None])) for found, point in pairs] == before
    assert torch.equal(landscape.model_at(theta).B, landscape.constants["B"])


def test_a_function_that_gives_one_module_again_is_refused() -> None:
    module = mlp()
    before = next(module.parameters()).dtype
    for make in (lambda: module, lambda: nn.Sequential(module, nn.Linear(3, 3))):
        with pytest.raises(UserError, match="the same parameter each time"):
            sgdtheory.landscape(make, (X, Y))
    assert next(module.parameters()).dtype == before


def test_what_cannot_be_copied_is_told_how_to_be_given() -> None:
    module = mlp()
    module.kept = [module[0].weight * 2]
    with pytest.raises(UserError, match=r"Sequential cannot be copied .* lambda: Sequential"):
        sgdtheory.landscape(module, (X, Y))


def test_random_starts_are_drawn_and_do_not_touch_what_is_plain() -> None:
    landscape = sgdtheory.landscape(Fourier("plain"), (X, Y))
    one, other = landscape.init(2, stream(0, "init"))
    assert not torch.equal(one, other)
    assert torch.equal(landscape.model_at(one).B, landscape.model_at(other).B)


def test_of_two_sets_of_weights_one_is_to_be_given() -> None:
    module, average = mlp(), mlp()
    landscape = sgdtheory.landscape(module, (X, Y))
    both = {"state_dict": module.state_dict(), "state_dict_ema": average.state_dict()}
    with pytest.raises(UserError, match=r"several sets .*state_dict_ema .*meant alone"):
        point_of(landscape, both)
    alone = point_of(landscape, {"state_dict": module.state_dict(), "epoch": {}})
    assert torch.equal(alone, landscape.vector(module))
