"""The author's module written out in double precision, and what a landscape must agree with it on.

In float32 rounding moves units across kinks and batch norms of few values amplify it, in the
author's own code as well: in torchvision's ShuffleNet its gradient is off by 4 %. So there a
landscape may be off by 1e-4, or by three times what the author's own code is off by.
"""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy

from sgdtheory.landscapes import twice
from sgdtheory.landscapes.logits import logits_of
from sgdtheory.landscapes.module_parts import fill
from sgdtheory.landscapes.network import Network
from sgdtheory.models.custom import custom
from sgdtheory.protocol import hvp, value_and_grad
from sgdtheory.rng import stream
from tests.landscapes.strangers import Factory

BATCH = 16
BAR = 1e-7  # relative, float64: batch norms of few values amplify rounding, to 2e-8 in MobileNet
SINGLE = 1e-4  # relative, float32


def shaken(landscape: Network, points: int) -> Tensor:
    """Points at which no scale and no bias is left where its author put it, float64."""
    cloud = landscape.init(points, stream(0, "init")).double()
    return cloud + 0.05 * torch.randn(
        cloud.shape, generator=stream(0, "shake"), dtype=torch.float64
    )


class Descended(NamedTuple):
    """What is descended at one point."""

    loss: Tensor  # []
    gradient: Tensor  # [n]
    product: Tensor  # [n], with the Hessian

    def off(self, other: "Descended") -> list[float]:
        """How far each is from another's, relatively, or for the loss to 1 more."""
        distances = []
        for one, exact in zip(self, other, strict=True):
            scale = float(exact.norm()) + (exact.ndim == 0)
            distances.append(float((one.double() - exact).norm()) / scale)
        return distances


def _is_tied(module: nn.Module, weight: Tensor) -> bool:
    every = [x for part in module.modules() for x in part.parameters(recurse=False)]
    return sum(x is weight for x in every) > 1


def plain_objective(landscape: Network, factory: Factory, theta: Tensor, rows: Tensor) -> Tensor:
    """The author's module in evaluation mode, its batch norms in training mode, written out in the
    dtype of θ [n]."""
    inputs = landscape.data.prepared(landscape.data.train_inputs[rows], torch.float32)
    with torch.random.fork_rng():
        module = custom(landscape.data.shape, landscape.data.outputs, factory).eval()
        if any(is_lazy(parameter) for parameter in module.parameters()):
            module(inputs)
    module, inputs = module.to(theta.dtype), as_numbers(inputs, theta.dtype)
    fill(module, landscape.constants)
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.train()
            part.momentum = 0.1
        if isinstance(part, nn.Embedding) and _is_tied(module, part.weight):
            part.padding_idx = None  # torch leaves out a part of the derivative of its row
    parts = theta.split([shape.numel() for shape in landscape.shapes.values()])
    weights = {n: x.view(s) for (n, s), x in zip(landscape.shapes.items(), parts, strict=True)}
    before = torch.get_default_dtype()
    torch.set_default_dtype(theta.dtype)
    try:
        outputs = logits_of(functional_call(module, weights, (inputs,))).to(theta.dtype)
    finally:
        torch.set_default_dtype(before)
    data_loss = plain_losses(outputs, landscape.data.train_targets[rows]).mean()
    return data_loss + 0.5 * landscape.weight_decay * theta.square().sum()


def plainly(
    landscape: Network, factory: Factory, theta: Tensor, rows: Tensor, vector: Tensor
) -> Descended:
    """Loss, gradient and Hessian-vector product of the twin at θ [n], in its dtype."""
    theta = theta.clone().requires_grad_()
    with sdpa_kernel([SDPBackend.MATH]), twice._Twins():  # torch has no other second derivative
        loss = plain_objective(landscape, factory, theta, rows)
    (gradient,) = torch.autograd.grad(loss, theta, create_graph=True)
    (product,) = torch.autograd.grad(gradient @ vector, theta)
    return Descended(loss.detach(), gradient.detach(), product)


def plain_losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross entropies [b]; of several targets in an example, classes last, their mean."""
    if targets.ndim == 1:
        return F.cross_entropy(outputs, targets, reduction="none")
    return F.cross_entropy(outputs.movedim(-1, 1), targets, reduction="none").mean(1)


def as_numbers(inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """Numbers in this precision; codes as they are."""
    return inputs.to(dtype) if inputs.is_floating_point() else inputs


def demand_what_is_descended(landscape: Network, factory: Factory) -> None:
    """Loss, gradient and Hessian-vector product at two random points are those of the twin, in
    float64 and in float32."""
    cloud = shaken(landscape, 2)
    rows = torch.randint(landscape.count, (2, BATCH), generator=stream(0, "rows"))
    vectors = torch.randn(cloud.shape, generator=stream(0, "v"), dtype=torch.float64)
    batch = landscape.batch(rows)
    found = {}
    for dtype in (torch.float64, torch.float32):
        points, directions = cloud.to(dtype), vectors.to(dtype)
        values = value_and_grad(landscape, points, batch)
        found[dtype] = (*values, hvp(landscape, points, directions, batch))
    for p in range(2):
        exact = plainly(landscape, factory, cloud[p], rows[p], vectors[p])
        double, single = (Descended(*(x[p] for x in ours)) for ours in found.values())
        assert max(double.off(exact)) <= BAR, double.off(exact)
        off = single.off(exact)
        if max(off) > SINGLE:
            theirs = plainly(landscape, factory, cloud[p].float(), rows[p], vectors[p].float())
            own = theirs.off(exact)
            assert all(a <= max(SINGLE, 3 * b) for a, b in zip(off, own, strict=True)), (off, own)


def demand_what_is_scored(landscape: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scores of a random point are those of `model_at` in evaluation mode, and on one part of
    the data what is descended."""
    theta = shaken(landscape, 2)[0]
    module = landscape.model_at(theta)
    assert not any(part.training for part in module.modules())
    before = torch.get_default_dtype()
    monkeypatch.setattr(torch.backends.mha, "get_fastpath_enabled", lambda: False)
    torch.set_default_dtype(torch.float64)
    try:
        inputs = landscape.data.prepared(landscape.data.test_inputs, torch.float32)
        inputs = as_numbers(inputs, torch.float64)
        with torch.no_grad():
            outputs = logits_of(module(inputs)).double()
    finally:
        torch.set_default_dtype(before)
    expected = plain_losses(outputs, landscape.data.test_targets)
    score = landscape.score(theta[None], "test").losses[0]
    assert ((score - expected).abs() <= BAR * (1 + expected)).all()
    gap = landscape.gap(theta)
    (loss,) = landscape.losses(theta[None])
    assert gap.value is not None and gap.value <= BAR * (1 + float(loss))
