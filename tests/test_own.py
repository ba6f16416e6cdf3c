"""A module, data and a loss of one's own, from Python: the same as by commands, without any."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import sgdtheory
from sgdtheory.errors import UserError
from sgdtheory.landscapes.network import Network
from sgdtheory.rng import stream

DRAWS = stream(0, "own")
X = torch.randn(90, 5, generator=DRAWS)
CENTRES = 3 * torch.randn(3, 5, generator=DRAWS)
Y = torch.arange(90) % 3
X = X + CENTRES[Y]
SPLIT, TEST = (X[:60], Y[:60]), (X[60:], Y[60:])
QUICK = ["autoneb.steps=6", "autoneb.last_steps=6", "baselines.gradients=6", "baselines.dense=3"]


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))


def trained(seed: int) -> nn.Sequential:
    """By a loop of the user's own."""
    torch.manual_seed(seed)
    module = net()
    optimiser = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(150):
        optimiser.zero_grad()
        nn.functional.cross_entropy(module(X[:60]), Y[:60]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return module


@pytest.fixture(scope="module")
def ends() -> tuple[nn.Sequential, nn.Sequential]:
    return trained(0), trained(1)


@pytest.fixture(scope="module")
def own() -> Network:
    return sgdtheory.landscape(net(), SPLIT, TEST)


def test_its_loss_is_the_users_own(own: Network, ends: tuple[nn.Module, nn.Module]) -> None:
    theta = own.vector(ends[0])
    plain = nn.functional.cross_entropy(ends[0](X[:60]), Y[:60])
    penalty = 0.5e-3 * sum(p.square().sum() for p in ends[0].parameters())
    found = own.losses(theta[None])[0]
    torch.testing.assert_close(found, (plain + penalty).detach())
    score = own.score(theta[None], "test").losses.mean()
    test = nn.functional.cross_entropy(ends[0](X[60:]), Y[60:])
    assert float(score) == pytest.approx(float(test), rel=1e-5)


@pytest.mark.parametrize(
    "split",
    [SPLIT, tuple(part.numpy() for part in SPLIT), TensorDataset(*SPLIT)],
    ids=["tensors", "arrays", "data set"],
)
def test_data_of_any_kind(own: Network, split: Any) -> None:
    other = sgdtheory.landscape(net, split, TEST)
    theta = own.init(1, stream(0, "init"))
    assert torch.equal(other.losses(theta), own.losses(theta))


def test_a_loss_of_ones_own() -> None:
    def distance(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs[:, 0] - targets).abs()

    numbers = (X, X[:, 0].double())
    landscape = sgdtheory.landscape(nn.Linear(5, 1), numbers, loss=distance, weight_decay=0.0)
    zero = torch.zeros(1, 6)
    assert float(landscape.losses(zero)) == pytest.approx(float(X[:, 0].abs().mean()), rel=1e-5)
    assert any("no test set" in remark for remark in landscape.data.remarks)


def test_frozen_parameters_and_buffers_are_the_modules_own() -> None:
    module = net()
    module[0].weight.requires_grad_(False)
    module[0].weight.data.fill_(0.25)
    landscape = sgdtheory.landscape(module, SPLIT, TEST)
    assert landscape.dim == sum(p.numel() for p in module.parameters() if p.requires_grad)
    theta = landscape.vector(module)
    plain = nn.functional.cross_entropy(module(X[:60]), Y[:60]) + 0.5e-3 * theta.square().sum()
    torch.testing.assert_close(landscape.losses(theta[None])[0], plain.detach())
    with pytest.raises(UserError, match="is not trained, and another one"):
        sgdtheory.diagnose(landscape, [net()])


def test_ten_lines_join_two_state_dicts(
    own: Network, ends: tuple[nn.Module, nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = sgdtheory.connect(own, ends[0].state_dict(), ends[1], QUICK)
    assert list(tmp_path.iterdir()) == []  # nothing is written
    points = path.points([0.0, 0.5, 1.0])
    torch.testing.assert_close(points[0].float(), own.vector(ends[0]))
    torch.testing.assert_close(points[2].float(), own.vector(ends[1]))
    losses = own.score(points.float(), "train").losses.mean(1)
    assert float(losses.max()) <= max(path.profile["train_loss"]) + 1e-6
    assert path.barrier.value is not None and path.barrier.stderr is not None
    assert "own data" in repr(path) and path._repr_html_().startswith("<p>")
    (axes,) = path.plot().axes
    assert "nats" in axes.get_ylabel() and len(axes.lines) >= 2


def test_the_example_joins_two_networks(capsys: pytest.CaptureFixture[str]) -> None:
    example = Path(__file__).parent.parent / "examples" / "join_your_networks.py"
    runpy.run_path(str(example), run_name="__main__")
    said = capsys.readouterr().out
    assert "are connected" in said and "barrier: " in said and "half-way: 0.00" in said


def test_a_run_is_left_behind_and_known_again(
    own: Network, ends: tuple[nn.Module, nn.Module], tmp_path: Path
) -> None:
    first = sgdtheory.connect(own, *ends, QUICK, run=tmp_path / "runs" / "own")
    stamp = (tmp_path / "runs/own/results.json").stat().st_mtime_ns
    again = sgdtheory.connect(own, *ends, QUICK, run=tmp_path / "runs" / "own")
    assert again.barrier == first.barrier
    assert (tmp_path / "runs/own/results.json").stat().st_mtime_ns == stamp
    other = sgdtheory.landscape(net(), SPLIT, TEST, weight_decay=0.1)
    with pytest.raises(UserError, match="have been changed since"):
        sgdtheory.connect(other, *ends, QUICK, run=tmp_path / "runs" / "own")
    table = sgdtheory.table(str(tmp_path / "runs" / "*"))
    assert table["command"].to_list() == ["connect"] and table["status"].to_list() == ["done"]


def test_points_are_diagnosed(own: Network, ends: tuple[nn.Module, nn.Module]) -> None:
    table = sgdtheory.diagnose(own, list(ends), ["sharpness"])
    assert table.height == 2 and table["sharpness"].is_not_null().all()
    losses = own.score(torch.stack([own.vector(end) for end in ends]), "train").losses.mean(1)
    np.testing.assert_allclose(table["train_loss"].to_numpy(), losses.numpy(), rtol=1e-5)


def test_a_temperature_is_measured(own: Network, ends: tuple[nn.Module, nn.Module]) -> None:
    sweep = sgdtheory.sweep_temperature(
        own, ends[0], batch_sizes=[8], words=["sgd.steps=400", "replicas=4", "precision=0.3"]
    )
    assert sweep.table.height == 4 and set(sweep.table["batch_size"]) == {8}
    assert sweep.fit.keys() >= {"slope", "slope_stderr"}
    assert "T measured" in sweep.plot().axes[0].get_ylabel()
    assert "<p>" in sweep._repr_html_() and repr(sweep).startswith("Swept(")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda own: sgdtheory.landscape("net", SPLIT), "give an nn.Module or a function"),
        (lambda own: sgdtheory.landscape(net, X), r"give \(inputs, targets\)"),
        (lambda own: sgdtheory.landscape(net, (X, Y[:7])), "90 inputs but 7 targets"),
        (lambda own: sgdtheory.landscape(net, (X[:0], Y[:0])), "there are no examples"),
        (lambda own: sgdtheory.landscape(net, SPLIT, (X[:0], Y[:0])), "test: there are no ex"),
        (lambda own: sgdtheory.landscape(net, (X.to_sparse(), Y)), "give it as a dense one"),
        (lambda own: sgdtheory.landscape(net, (X, np.array(["a"] * 90))), "give tensors or arr"),
        (
            lambda own: sgdtheory.landscape(net, TensorDataset(X, Y, X[:, 0])),
            "number 0 is 3 things",
        ),
        (
            lambda own: sgdtheory.landscape(net, [{"x": x, "y": 0} for x in X]),
            r"give \(inputs, targets\)",
        ),
        (lambda own: sgdtheory.landscape(net, SPLIT, loss="crossentropy"), "'cross_entropy'"),
        (lambda own: sgdtheory.landscape(net, SPLIT, weight_decay=-0.1), "not negative"),
        (lambda own: sgdtheory.landscape(net, SPLIT, weight_decay=float("nan")), "no number"),
        (lambda own: sgdtheory.landscape(net, (X, X[:, 0])), "use landscape.loss=mse"),
        (lambda own: sgdtheory.connect(own, torch.zeros(3), torch.zeros(3)), "a point of this"),
        (
            lambda own: sgdtheory.connect(own, *torch.zeros(2, own.dim, dtype=torch.int64)),
            "a point of this landscape is of float64, float32, bfloat16 or float16, not int64",
        ),
        (
            lambda own: sgdtheory.diagnose(own, torch.zeros(1, own.dim, dtype=torch.complex64)),
            "not complex64; give it as floating-point numbers",
        ),
        (lambda own: sgdtheory.connect(own, {}, {}), "the state dict has no 0.weight"),
        (
            lambda own: sgdtheory.diagnose(own, [nn.Sequential(*net(), nn.Linear(3, 3))]),
            "is it a larger model",
        ),
        (lambda own: sgdtheory.diagnose(own, [net()], ["spectre"]), "did you mean 'spectrum'"),
        (lambda own: sgdtheory.diagnose(own, [net()], (), ["x=1"]), "x=1|x: "),
        (lambda own: sgdtheory.table("nowhere/*"), "no run is there"),
    ],
)
def test_mistakes_are_told_in_a_line(
    own: Network, call: Callable[[Network], object], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        call(own)


class Wells:
    """(x² − 1)² with noise: two wells, a barrier of 1 between them, and nothing else."""

    dim = 1

    def init(self, points: int, source: torch.Generator) -> Tensor:
        return torch.randn(points, 1, generator=source)

    def sample(self, points: int, size: int, source: torch.Generator) -> Tensor:
        return torch.randn(points, size, generator=source)

    def losses(self, cloud: Tensor, batch: Tensor | None = None) -> Tensor:
        x = cloud[:, 0]
        losses = (x.square() - 1).square()
        return losses if batch is None else losses + 0.1 * x * batch.to(cloud).mean(1)


@pytest.mark.parametrize("split", ["val", "Train", "", None])
def test_a_split_that_there_is_not_is_no_test_set(own: Network, split: Any) -> None:
    with pytest.raises(UserError, match="there are train and test"):
        own.score(own.init(2, stream(0)), split)


def test_points_of_another_shape_are_told(own: Network) -> None:
    cloud = own.init(2, stream(0))
    for wrong in (cloud[0], cloud[:, 1:]):
        with pytest.raises(UserError, match=r"score: give points \[P, 75\]"):
            own.score(wrong, "test")
    for wrong in (cloud, cloud[0, 1:]):
        with pytest.raises(UserError, match=r"model_at: give one point \[75\]"):
            own.model_at(wrong)
    inputs = X[:3]
    assert torch.equal(own.model_at(cloud[:1])(inputs), own.model_at(cloud[0])(inputs))


def test_a_landscape_that_is_no_network_goes_through_all_of_them() -> None:
    """T = ησ²/2b in a well of h = 8, σ = .1."""
    wells = Wells()
    path = sgdtheory.connect(wells, [-1.0], [1.0], quiet=True)
    assert path.barrier.value == pytest.approx(1, rel=1e-6)
    row = sgdtheory.diagnose(wells, [torch.ones(1)], ["spectrum"], quiet=True)
    assert row["top_eigenvalue"][0] == pytest.approx(8, rel=1e-6)
    words = ["replicas=64", "precision=0.05"]
    (cell,) = sgdtheory.sweep_temperature(wells, torch.ones(1), [0.01], [4], words).cells
    found = cell["temperature"]["excess_loss"]
    assert abs(found["value"] / cell["predicted"] - 1) < 4 * found["stderr"] / cell["predicted"]
    with pytest.raises(UserError, match="Wells has no module: a point of it is a vector"):
        sgdtheory.connect(wells, nn.Linear(1, 1), [1.0])  # type: ignore[arg-type]


def test_another_place_for_new_tensors_is_told_in_a_line() -> None:
    """`torch.set_default_device` in the user's process moves what is drawn here too."""
    model = nn.Linear(5, 3)
    data = (torch.zeros(4, 5), torch.zeros(4, dtype=torch.int64))
    torch.set_default_device("meta")
    try:
        with pytest.raises(UserError, match="set it back to cpu, and give device="):
            sgdtheory.landscape(model, data)
    finally:
        torch.set_default_device(None)
