"""Embeddings whose padding row is trained somewhere else."""

import pytest
import torch
from torch import Tensor, nn

import sgdtheory
from sgdtheory.errors import UserError
from sgdtheory.protocol import value_and_grad
from sgdtheory.rng import stream

CODES, WIDTH = 11, 8
SENTENCES = torch.randint(CODES, (60, 7), generator=stream(0, "codes"))
CLASSES = torch.randint(CODES, (60,), generator=stream(0, "classes"))


class Tied(nn.Module):
    """As BERT, OPT and RoBERTa have it; `first`: which of the two owns the weights."""

    def __init__(self, first: str) -> None:
        super().__init__()
        if first == "embedding":
            self.embedding = nn.Embedding(CODES, WIDTH, padding_idx=0)
        self.head = nn.Linear(WIDTH, CODES, bias=False)
        if first == "head":
            self.embedding = nn.Embedding(CODES, WIDTH, padding_idx=0)
        self.head.weight = self.embedding.weight

    def forward(self, codes: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.embedding(codes).mean(1).tanh())
        return outputs


class TiedByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CODES, WIDTH, padding_idx=0)

    def forward(self, codes: Tensor) -> Tensor:
        return self.embedding(codes).mean(1).tanh() @ self.embedding.weight.T


@pytest.mark.parametrize("first", ["embedding", "head"])
def test_a_row_that_is_tied_has_the_gradient_of_the_loss(first: str) -> None:
    """torch leaves out what the padding code itself adds: a fifth of the gradient here."""
    landscape = sgdtheory.landscape(lambda: Tied(first), (SENTENCES, CLASSES), weight_decay=0)
    landscape.check()
    theta = 0.3 * torch.randn(2, landscape.dim, generator=stream(0), dtype=torch.float64)
    _, gradients = value_and_grad(landscape, theta)
    for point, gradient in zip(theta, gradients, strict=True):
        leaf = point.clone().requires_grad_()
        weight = leaf.view(CODES, WIDTH)
        outputs = weight[SENTENCES].mean(1).tanh() @ weight.T
        nn.functional.cross_entropy(outputs, CLASSES).backward()
        assert torch.allclose(gradient, leaf.grad, rtol=1e-10, atol=1e-14)


def test_a_row_that_is_used_by_hand_is_found() -> None:
    with pytest.raises(UserError, match=r"not the derivative of its loss \(along embedding.weight"):
        sgdtheory.landscape(TiedByHand, (SENTENCES, CLASSES)).check()


def test_embeddings_that_share_their_padding_keep_its_row() -> None:
    """Source and target of a translator, as torch trains them."""

    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.source = nn.Embedding(CODES, WIDTH, padding_idx=0)
            self.target = nn.Embedding(CODES, WIDTH, padding_idx=0)
            self.target.weight = self.source.weight
            self.head = nn.Linear(WIDTH, CODES)

        def forward(self, codes: Tensor) -> Tensor:
            both = self.source(codes[:, :4]).mean(1) * self.target(codes[:, 4:]).mean(1)
            outputs: Tensor = self.head(both.tanh())
            return outputs

    landscape = sgdtheory.landscape(Shared, (SENTENCES, CLASSES), weight_decay=0)
    landscape.check()
    cloud = landscape.init(2, stream(0)).double()
    _, gradients = value_and_grad(landscape, cloud)
    for theta, gradient in zip(cloud, gradients, strict=True):
        module = landscape.model_at(theta).double()
        module.zero_grad()
        nn.functional.cross_entropy(module(SENTENCES), CLASSES).backward()
        own = torch.cat([weight.grad.flatten() for weight in module.parameters()])
        assert torch.allclose(gradient, own, rtol=1e-10, atol=1e-14)
        assert not gradient[:WIDTH].any()


def test_a_row_of_its_own_is_kept() -> None:
    def net() -> nn.Module:
        parts = nn.Embedding(CODES, WIDTH, padding_idx=0), nn.Flatten(), nn.Linear(7 * WIDTH, CODES)
        return nn.Sequential(*parts)

    landscape = sgdtheory.landscape(net, (SENTENCES, CLASSES), weight_decay=0)
    landscape.check()
    _, gradients = value_and_grad(landscape, landscape.init(2, stream(0)))
    assert not gradients[:, :WIDTH].any() and gradients[:, WIDTH : 2 * WIDTH].any()
