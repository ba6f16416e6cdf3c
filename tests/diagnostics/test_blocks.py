"""Diagnostics of chosen parameters, against rows and columns of what is written down whole."""

import csv
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from sgdtheory.data.digits import digits
from sgdtheory.diagnostics.blocks import refuse_unmatched
from sgdtheory.diagnostics.noise import Noise
from sgdtheory.diagnostics.spectrum import Spectrum
from sgdtheory.errors import UserError
from sgdtheory.geometry.gradient_noise import example_gradients, is_additive
from sgdtheory.geometry.hessian import hessian
from sgdtheory.landscapes.derived.block import Block
from sgdtheory.landscapes.names import coordinates_of, matching
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.models.mlp import MLP
from sgdtheory.models.resnet import ResNet
from sgdtheory.pipelines.diagnostic_costs import PRODUCT, cost_of
from sgdtheory.protocol import value_and_grad
from sgdtheory.report.figures.table import heading
from sgdtheory.rng import stream
from sgdtheory.roles.facts import penalty_of
from tests.conftest import Command


class Known(NamedTuple):
    landscape: Network
    theta: Tensor  # [n], float64
    whole: Tensor  # H [n, n], by autograd's own double loop


@pytest.fixture(scope="module")
def known() -> Known:
    """Tanh MLP 64-6-10 on 200 digits at a random point; λ acts on weights alone."""
    model = partial(MLP, hidden=(6,), activation="tanh")
    data = digits().first(200, 20)
    landscape = Network(model, data, weight_decay=1e-2, decay="weights")
    theta = landscape.init(1, stream(0, "init"))[0].double()
    whole = torch.autograd.functional.hessian(lambda x: landscape.losses(x[None])[0], theta)
    return Known(landscape, theta, whole)


def block_of(known: Known, expression: str) -> tuple[Block, Tensor]:
    """The block that an expression is, and its coordinates, counted by hand."""
    names = matching(known.landscape.shapes, expression, "parameters")
    flags = []
    for name, shape in known.landscape.shapes.items():
        flags.append(torch.full((shape.numel(),), name in names))
    inside = torch.cat(flags).nonzero()[:, 0]
    return Block.of_names(known.landscape, known.theta, names), inside


@pytest.mark.parametrize("expression", ["bias", r"^layers\.0", "weight", "."])
def test_the_hessian_of_a_block_is_a_block_of_the_hessian(known: Known, expression: str) -> None:
    block, inside = block_of(known, expression)
    torch.testing.assert_close(block.theta, known.theta[inside])
    assert block.dim == len(inside)
    found = hessian(block, block.theta)
    torch.testing.assert_close(found, known.whole[inside][:, inside], rtol=0, atol=1e-12)


def test_gradients_of_examples_are_those_of_the_block(known: Known) -> None:
    block, inside = block_of(known, r"1\.weight")
    chosen = torch.arange(7)
    whole = example_gradients(known.landscape, known.theta, chosen)
    found = example_gradients(block, block.theta, chosen)
    torch.testing.assert_close(found, whole[:, inside], rtol=0, atol=1e-14)
    value, gradient = value_and_grad(known.landscape, known.theta[None])
    value_of_block, gradient_of_block = value_and_grad(block, block.theta[None])
    torch.testing.assert_close(value_of_block, value)
    torch.testing.assert_close(gradient_of_block, gradient[:, inside])
    penalty = penalty_of(block, block.theta[None])
    torch.testing.assert_close(penalty, penalty_of(known.landscape, known.theta[None]))


def test_blocks_of_a_quadratic() -> None:
    """H = diag(h) and C as stated: a block has its own h and its own rows of C."""
    bowl = Quadratic((4.0, 2.0, 1.0, 0.5), noise_anisotropy=8.0)
    origin = torch.zeros(4, dtype=torch.float64)
    indices = torch.tensor([0, 2])
    block = Block(bowl, origin, indices)
    expected = hessian(bowl, origin)[indices][:, indices]
    torch.testing.assert_close(hessian(block, block.theta), expected)
    covariance = bowl.noise_covariance(origin[None])[0][indices][:, indices]
    row = Noise()(block, block.theta[None])[0]
    assert row["noise_trace"].value == pytest.approx(float(covariance.trace()))
    assert not hasattr(block, "minima")


def test_batch_norm_stays_batch_norm() -> None:
    landscape = Network(partial(ResNet, depth=8, width=2), digits().first(32, 10), weight_decay=0.0)
    theta = landscape.init(1, stream(0, "init"))[0].double()
    names = matching(landscape.shapes, "fc|linear|head", "parameters")
    block = Block.of_names(landscape, theta, names)
    assert not is_additive(block)
    inside = coordinates_of(landscape.shapes, names)
    _, gradient = value_and_grad(landscape, theta[None])
    _, of_block = value_and_grad(block, block.theta[None])
    torch.testing.assert_close(of_block, gradient[:, inside])


def test_columns_stand_beside_those_of_all(known: Known) -> None:
    landscape, theta, whole = known
    _, inside = block_of(known, "bias")
    plain = Spectrum(top=2, steps=10)(landscape, theta[None])[0]
    row = Spectrum(top=2, steps=10, parameters=("bias", r"0\.w"))(landscape, theta[None])[0]
    assert {name: row[name] for name in plain} == plain
    of_bias = torch.linalg.eigvalsh(whole[inside][:, inside])
    assert row["top_eigenvalue[bias]"].value == pytest.approx(float(of_bias[-1]))
    assert row["trace[bias]"][:2] == (pytest.approx(float(of_bias.sum())), None)
    assert set(row) == {
        *plain,
        *(f"{name}[bias]" for name in plain),
        *(f"{name}[0\\.w]" for name in plain),
    }
    noise = Noise(parameters="bias", dense=0)(landscape, theta[None])[0]
    gradients = example_gradients(landscape, theta, torch.arange(200))[:, inside]
    variance = gradients.var(0, correction=0).sum()
    assert noise["noise_trace[bias]"].value == pytest.approx(float(variance))


def test_shares_of_a_few_products(known: Known) -> None:
    """Each block has as many products as all parameters have."""
    asked = Spectrum(top=2, parameters=("weight", "bias")).within(40)
    row = asked(known.landscape, known.theta[None])[0]
    assert asked.planned() == 120 and row["trace[weight]"].value is not None
    _, inside = block_of(known, "weight")
    exact = float(known.whole[inside][:, inside].trace())
    value, error = row["trace[weight]"][:2]
    assert value is not None and error is not None
    assert abs(value - exact) < 4.5 * error  # Student's t with 9 degrees of freedom: 1/700


def test_a_plan_counts_blocks(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = []

    def noted(landscape: Network, cloud: Tensor, gradients: float) -> float:
        costs.append(gradients)
        return gradients

    monkeypatch.setattr("sgdtheory.pipelines.diagnostic_costs.estimate_score", noted)
    for diagnostic in (Spectrum(), Spectrum(parameters=("a", "b")), Noise(), Noise(parameters="a")):
        cost_of(diagnostic, known.landscape, known.theta[None])
    assert costs[0] == PRODUCT * Spectrum().planned()
    assert costs[1] == 3 * costs[0] and costs[3] == 2 * costs[2]


@pytest.mark.parametrize(
    ("expression", "says"),
    [("nope", "matches no parameter; there are layers.0.weight"), ("(", "no regular expression")],
)
def test_what_matches_nothing_is_refused(known: Known, expression: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        refuse_unmatched(known.landscape, ("bias", expression), "diagnostic.noise.parameters")
    refuse_unmatched(known.landscape, "bias", "diagnostic.noise.parameters")


def test_a_formula_has_no_names() -> None:
    with pytest.raises(UserError, match="parameters of Quadratic have no names"):
        refuse_unmatched(Quadratic((1.0,)), "w", "diagnostic.spectrum.parameters")
    refuse_unmatched(Quadratic((1.0,)), None, "diagnostic.spectrum.parameters")


def test_a_heading_shows_the_expression_as_it_was_given() -> None:
    assert heading(r"noise_trace[^layers\.0_b]") == r"Tr C[^layers\.0_b]"


def test_blocks_through_the_command(sgdtheory: Command, tmp_path: Path) -> None:
    """Brackets and commas in names survive the terminal's table, table.csv and the page."""
    words = (
        "train model=mlp model.hidden=[4] data.test_share=0.9 minima=1 sgd.steps=3 "
        "executor.workers=1 threads=1 diagnostic=[spectrum,noise] diagnostic.spectrum.top=2 "
        "diagnostic.spectrum.steps=4 diagnostic.noise.parameters=bias diagnostic.noise.dense=0"
    )
    blocks = r'diagnostic.spectrum.parameters=["layers\.0","b{1,1}ias"]'
    said = sgdtheory(*words.split(), blocks)
    assert r"trace[layers\.0]" in said.out and "Tr C[bias]" in said.out
    (table,) = tmp_path.rglob("table.csv")
    (row,) = csv.DictReader(table.open(encoding="utf-8"))
    for name in (r"trace[layers\.0]", "top_eigenvalue[b{1,1}ias]", "noise_trace[bias]"):
        assert float(row[name]) > 0, name
    (page,) = tmp_path.rglob("report.html")
    assert "top eigenvalue[b{1,1}ias]" in page.read_text(encoding="utf-8")
