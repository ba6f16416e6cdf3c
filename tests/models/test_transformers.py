"""Transformers: attention against plain code, causality, and the weights they begin with."""

from math import sqrt
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdtheory.errors import UserError
from sgdtheory.models.gpt import GPT
from sgdtheory.models.transformer import Attention, Block
from sgdtheory.models.vit import ViT
from sgdtheory.rng import stream


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=stream(0, "drawn"), dtype=torch.float64)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_torchs(causal: bool) -> None:
    ours = Attention(12, 3, causal).double()
    theirs = nn.MultiheadAttention(12, 3, batch_first=True, dtype=torch.float64)
    weights = {
        "in_proj_weight": ours.qkv.weight,
        "in_proj_bias": ours.qkv.bias,
        "out_proj.weight": ours.out.weight,
        "out_proj.bias": ours.out.bias,
    }
    theirs.load_state_dict(weights)
    x = drawn(2, 5, 12)
    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    expected, _ = theirs(x, x, x, attn_mask=mask if causal else None, need_weights=False)
    torch.testing.assert_close(ours(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_a_block_is_written_out(norm: Literal["layer", "rms"]) -> None:
    block = Block(8, 2, False, norm).double()
    x = drawn(3, 4, 8)

    def normed(x: Tensor) -> Tensor:
        if norm == "rms":
            return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()

    middle = x + block.attention(normed(x))
    hidden = F.gelu(normed(middle) @ block.rise.weight.T + block.rise.bias)
    expected = middle + hidden @ block.fall.weight.T + block.fall.bias
    torch.testing.assert_close(block(x), expected, rtol=1e-12, atol=1e-12)


def test_a_decoder_sees_what_is_before_alone() -> None:
    model = GPT((6,), 11, layers=2, heads=2, width=8).double()
    codes = torch.arange(6)[None]
    changed = codes.clone()
    changed[0, 4] = 9
    with torch.no_grad():
        before, after = model(codes), model(changed)
    assert before.shape == (1, 6, 11)
    assert torch.equal(before[:, :4], after[:, :4])
    assert bool((before[:, 4:] != after[:, 4:]).any(2).all())


def test_patches_are_cut_in_order() -> None:
    model = ViT((2, 4, 6), 3, patch=2, layers=1, heads=1, width=4)
    images = drawn(1, 2, 4, 6)
    patches = model._patches(images)
    assert patches.shape == (1, 6, 8)
    expected = images[0, :, 2:4, 4:6].flatten()  # the last one: second row, third column
    assert torch.equal(patches[0, 5], expected)


def test_the_place_of_a_patch_matters() -> None:
    model = ViT((1, 4, 4), 3, patch=2, layers=1, heads=2, width=8)
    images = drawn(1, 1, 4, 4).float()
    moved = images.roll(2, 3)
    with torch.no_grad():
        assert not torch.allclose(model(images), model(moved))


def test_gpt_begins_as_gpt2_does() -> None:
    torch.manual_seed(0)
    model = GPT((64,), 200, layers=3, heads=4, width=128)
    for name, weight in model.named_parameters():
        if weight.ndim > 1:
            is_back = name.endswith(("attention.out.weight", "fall.weight"))
            spread = 0.02 / (sqrt(6) if is_back else 1)
            # of N draws the spread is known to 1/√(2N)
            assert abs(float(weight.std()) / spread - 1) < 5 / sqrt(2 * weight.numel()), name
        else:
            value = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            assert bool((weight == value).all()), name


def test_tied_weights_are_one_set_of_coordinates() -> None:
    model = GPT((4,), 9, heads=1, width=4, tied=True)
    assert model.head.weight is model.token.weight
    assert "head.weight" not in dict(model.named_parameters())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: GPT((1, 8, 8), 10), "takes sequences of codes"),
        (lambda: GPT((8,), 10, heads=3), "is no multiple of model.heads=3"),
        (lambda: ViT((8,), 10), r"takes images \[C, H, W\]"),
        (lambda: ViT((1, 7, 8), 10), "does not divide images of 7×8"),
    ],
)
def test_what_they_do_not_take_is_refused(make: object, words: str) -> None:
    assert callable(make)
    with pytest.raises(UserError, match=words):
        make()
