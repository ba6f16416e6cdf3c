"""The Gauss–Newton matrix: where it is the Hessian, and against one written down by plain code."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sgdtheory.data.digits import digits
from sgdtheory.data.examples import Examples
from sgdtheory.data.modular_addition import modular_addition
from sgdtheory.diagnostics.spectrum import Spectrum
from sgdtheory.geometry.hessian import hessian, hessian_products
from sgdtheory.landscapes.derived.block import Block
from sgdtheory.landscapes.derived.gauss_newton import GaussNewton, why_no_gauss_newton
from sgdtheory.landscapes.names import coordinates_of
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.losses import second_derivative
from sgdtheory.losses.cross_entropy import CrossEntropy
from sgdtheory.losses.loss import Loss
from sgdtheory.losses.mse import MSE
from sgdtheory.models.gpt import GPT
from sgdtheory.models.linear import Linear
from sgdtheory.models.mlp import MLP
from sgdtheory.models.resnet import ResNet
from sgdtheory.protocol import hvp
from sgdtheory.rng import stream
from tests.small_networks import regression

FEW = digits().first(40, 10)
LOSSES: list[Loss] = [CrossEntropy(), CrossEntropy(label_smoothing=0.1), MSE()]


def point(landscape: Network) -> Tensor:
    """A random point [n], float64."""
    return landscape.init(1, stream(0, "init"))[0].double()


def written_down(landscape: Network, theta: Tensor) -> Tensor:
    """G [n, n] by plain code: J an output at a time, the Hessian of the mean loss by outputs whole,
    and λ, for landscapes of one part."""
    ((batch, _),) = landscape.parts()

    def outputs_at(x: Tensor) -> Tensor:
        return landscape.twice_differentiable_outputs(x[None], batch)

    outputs = outputs_at(theta).detach()

    def mean_loss(flat: Tensor) -> Tensor:
        return landscape.loss.losses(flat.view(outputs.shape), batch.targets).mean()

    jacobian = torch.autograd.functional.jacobian(lambda x: outputs_at(x).flatten(), theta)
    of_loss = torch.autograd.functional.hessian(mean_loss, outputs.flatten())
    decay = torch.full_like(theta, landscape.weight_decay)
    if landscape.penalty.mask is not None:
        decay = decay * landscape.penalty.mask
    return jacobian.T @ of_loss @ jacobian + torch.diag(decay)


@pytest.mark.parametrize("loss", LOSSES, ids=["cross_entropy", "smoothed", "mse"])
def test_a_linear_model_has_no_other_curvature(loss: Loss) -> None:
    landscape = Network(Linear, FEW, weight_decay=1e-2, loss=loss, decay="weights")
    theta = point(landscape)
    found = hessian(GaussNewton(landscape), theta)
    torch.testing.assert_close(found, hessian(landscape, theta), rtol=0, atol=1e-13)
    top = Spectrum(gauss_newton=True, top=1)(landscape, theta[None])[0]
    assert top["gauss_newton_top"].value == pytest.approx(top["top_eigenvalue"].value, rel=1e-9)


@pytest.mark.parametrize("broken", ["twice", "diagonal"])
def test_a_wrong_second_derivative_is_seen(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    def wrong(loss: Loss, outputs: Tensor, targets: Tensor, tangents: Tensor) -> Tensor:
        p = outputs.softmax(-1)
        if broken == "twice":
            return 2 * right(loss, outputs, targets, tangents)
        return p * tangents  # without −ppᵀ

    right = second_derivative._of_cross_entropy
    landscape = Network(Linear, FEW, weight_decay=1e-2)
    theta = point(landscape)
    monkeypatch.setattr(second_derivative, "_of_cross_entropy", wrong)
    difference = hessian(GaussNewton(landscape), theta) - hessian(landscape, theta)
    assert float(difference.norm()) > 0.05 * float(hessian(landscape, theta).norm())


def test_the_residual_term_of_an_mlp() -> None:
    """H − G = mean over examples of Σ_k (∂ℓ/∂f_k)∇²f_k, for a network written in plain code."""
    model = partial(MLP, hidden=(3,), activation="tanh")
    landscape = Network(model, FEW, weight_decay=1e-3)
    theta = point(landscape)
    inputs = landscape.data.prepared(landscape.data.train_inputs, torch.float64).flatten(1)
    targets = landscape.data.train_targets
    sizes = [64 * 3, 3, 3 * 10, 10]

    def outputs_at(x: Tensor) -> Tensor:
        first, bias, second, last = x.split(sizes)
        hidden = torch.tanh(inputs @ first.view(3, 64).T + bias)
        return hidden @ second.view(10, 3).T + last

    outputs = outputs_at(theta)
    slopes = (outputs.softmax(1) - F.one_hot(targets, 10)) / len(targets)
    residual = torch.func.hessian(lambda x: (outputs_at(x) * slopes).sum())(theta)
    whole = torch.func.hessian(lambda x: F.cross_entropy(outputs_at(x), targets))(theta)
    gauss_newton = hessian(GaussNewton(landscape), theta)
    decay = 1e-3 * torch.eye(len(theta), dtype=torch.float64)
    torch.testing.assert_close(gauss_newton, whole - residual + decay, rtol=0, atol=1e-12)
    assert float(residual.norm()) > 0.1 * float(gauss_newton.norm())
    assert float(torch.linalg.eigvalsh(gauss_newton)[0]) > 1e-3 - 1e-12  # and so G ≥ λ


def network_of(name: str) -> Network:
    """A network, a loss and data of each kind, with few outputs in all."""
    if name == "attention":
        model = partial(GPT, layers=1, heads=2, width=8)
        return Network(model, modular_addition(p=5), weight_decay=1e-3, decay="weights")
    if name == "batch norm":
        return Network(partial(ResNet, depth=8, width=1), FEW.first(12, 10), weight_decay=1e-3)
    if name == "numbers":
        return regression(examples=32)
    return Network(partial(MLP, hidden=(4,)), FEW, loss=name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["attention", "batch norm", "numbers", "huber", "mse"])
def test_against_one_that_is_written_down(name: str) -> None:
    landscape = network_of(name)
    theta = point(landscape)
    whole = written_down(landscape, theta)
    source = stream(0, "vectors")
    vectors = torch.randn(3, len(theta), generator=source, dtype=torch.float64)
    found = hessian_products(GaussNewton(landscape), theta, vectors)
    size = float((vectors @ whole).norm())
    torch.testing.assert_close(found, vectors @ whole, rtol=0, atol=1e-11 * size)
    single = hessian_products(GaussNewton(landscape), theta.float(), vectors.float())
    assert float((single - found).norm()) < 1e-3 * size
    of_hessian = hvp(landscape, theta.expand(3, -1), vectors)
    assert float((of_hessian - found).norm()) > 1e-2 * size  # G is not H here


def test_parts_of_the_objective_are_joined() -> None:
    model = partial(MLP, hidden=(3,))
    whole = Network(model, FEW, weight_decay=1e-2)
    parts = Network(model, FEW, weight_decay=1e-2, part=13)
    theta = point(whole)
    assert len(list(parts.parts())) > 2
    found = hessian(GaussNewton(parts), theta)
    torch.testing.assert_close(found, hessian(GaussNewton(whole), theta), rtol=0, atol=1e-12)


def test_a_block_of_it() -> None:
    landscape = Network(partial(MLP, hidden=(3,)), FEW, weight_decay=1e-2, decay="weights")
    theta = point(landscape)
    names = ["layers.0.bias", "layers.1.weight"]
    block = Block.of_names(landscape, theta, names)
    inside = coordinates_of(landscape.shapes, names)
    whole = hessian(GaussNewton(landscape), theta)
    found = hessian(GaussNewton(block), block.theta)
    torch.testing.assert_close(found, whole[inside][:, inside], rtol=0, atol=1e-13)
    row = Spectrum(gauss_newton=True, parameters="bias")(landscape, theta[None])[0]
    biases = coordinates_of(landscape.shapes, ["layers.0.bias", "layers.1.bias"])
    trace = float(whole[biases][:, biases].trace())
    assert row["gauss_newton_trace[bias]"].value == pytest.approx(trace)


@pytest.mark.parametrize("brief", [False, True])
def test_its_columns_are_within_their_errors(brief: bool) -> None:
    landscape = Network(partial(MLP, hidden=(5,), activation="tanh"), FEW, weight_decay=1e-3)
    theta = point(landscape)
    exact = torch.linalg.eigvalsh(written_down(landscape, theta))
    scores = []
    for seed in range(6):
        spectrum = Spectrum(top=2, probes=2, steps=15, seed=seed, gauss_newton=True)
        if brief:
            spectrum = spectrum.within(40)
        row = spectrum(landscape, theta[None])[0]
        top, trace = row["gauss_newton_top"], row["gauss_newton_trace"]
        assert top.value == pytest.approx(float(exact[-1]), rel=1e-4 if brief else 1e-9)
        assert trace.value is not None and trace.stderr is not None
        scores.append((trace.value - float(exact.sum())) / trace.stderr)
    assert max(map(abs, scores)) < 4.5  # Student's t with 9 degrees or more, 6 draws: 1/120


def test_it_is_planned_for() -> None:
    plain = Spectrum()
    both = Spectrum(gauss_newton=True)
    assert both.planned() == plain.planned() + 20 + 60 + 30
    assert both.within(32).planned() == 64
    assert Spectrum(gauss_newton=True, parameters="a").within(32).planned() == 128


def hinged(outputs: Tensor, targets: Tensor) -> Tensor:
    """Squares of the outputs that stand above the target's less a margin: convex."""
    own = outputs.gather(1, targets[:, None])
    return F.relu(outputs - own + 1).square().sum(1)


def bounded(outputs: Tensor, targets: Tensor) -> Tensor:
    """1 − p of the target: flat far from it, so not convex."""
    return 1 - outputs.softmax(1).gather(1, targets[:, None])[:, 0]


def own(factory: Callable[[Tensor, Tensor], Tensor], data: Examples = FEW) -> Network:
    return Network(partial(MLP, hidden=(3,)), data, loss="custom", loss_factory=factory)


def test_a_loss_of_ones_own_that_is_convex() -> None:
    landscape = own(hinged)
    theta = point(landscape)
    row = Spectrum(gauss_newton=True)(landscape, theta[None])[0]
    exact = torch.linalg.eigvalsh(written_down(landscape, theta))
    assert row["gauss_newton_top"].value == pytest.approx(float(exact[-1]), rel=1e-9)
    assert row["gauss_newton_trace"].value == pytest.approx(float(exact.sum()))
    assert row["gauss_newton_trace"].stderr is None  # all 235 eigenvalues are known


def test_a_loss_that_is_not_convex_has_a_reason() -> None:
    landscape = own(bounded)
    row = Spectrum(gauss_newton=True)(landscape, point(landscape)[None])[0]
    assert row["top_eigenvalue"].value is not None
    for name in ("gauss_newton_top", "gauss_newton_trace"):
        assert row[name].value is None
        assert row[name].why.startswith("the loss is not convex in the outputs")


def test_a_point_that_is_not_finite_has_a_reason() -> None:
    for landscape in (own(hinged), Network(Linear, FEW)):
        theta = torch.full((landscape.dim,), torch.nan, dtype=torch.float64)
        row = Spectrum(gauss_newton=True)(landscape, theta[None])[0]
        assert row["gauss_newton_top"].value is None and "not finite" in row["gauss_newton_top"].why


def test_what_is_not_looked_at_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    landscape = own(hinged)
    monkeypatch.setattr(second_derivative, "MOST_OUTPUTS", 9)
    assert "10 outputs of an example is not known" in why_no_gauss_newton(
        landscape, point(landscape)
    )


def test_a_formula_has_no_outputs() -> None:
    bowl = Quadratic((4.0, 1.0))
    row = Spectrum(gauss_newton=True, top=1)(bowl, torch.zeros(1, 2).double())[0]
    assert row["gauss_newton_top"].why == "Quadratic is no loss of outputs"
