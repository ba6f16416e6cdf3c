"""Renumbered heads, streams and groups are found exactly, turned streams to rounding."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sgdtheory.data.digits import digits
from sgdtheory.data.modular_addition import modular_addition
from sgdtheory.errors import UserError
from sgdtheory.landscapes.logits import logits_of
from sgdtheory.landscapes.module_parts import fill
from sgdtheory.landscapes.network import Network
from sgdtheory.models.gpt import GPT
from sgdtheory.models.lstm import LSTM
from sgdtheory.models.vit import ViT
from sgdtheory.optim.schedule import Cosine
from sgdtheory.optim.sgd import SGD
from sgdtheory.paths.alignment import align
from sgdtheory.paths.baselines import Baselines, Ways, symmetry_of
from sgdtheory.paths.matching import random_rotation
from sgdtheory.paths.symmetry import Symmetry
from sgdtheory.paths.symmetry_search import find_symmetry
from sgdtheory.paths.units.join import Operand
from sgdtheory.paths.units.products import contract
from sgdtheory.paths.units.rules import RULES
from sgdtheory.rng import stream
from sgdtheory.runs.unit import Unit, UnitFolder
from tests.paths import attention_networks as others

SEEDS = 20
IMAGES = torch.randn(3, 1, 8, 8, generator=stream(0, "images"), dtype=torch.float64)
COLOURS = torch.randn(3, 3, 8, 8, generator=stream(0, "colours"), dtype=torch.float64)
CODES = torch.randint(0, 13, (3, 6), generator=stream(0, "codes"))
gpt = partial(GPT, (6,), 13, layers=2, heads=2, width=8)
small_vit = partial(ViT, (1, 8, 8), 10, width=16, heads=2)
Build = Callable[[], nn.Module]


def torchvision_transformer() -> nn.Module:
    from torchvision.models import VisionTransformer  # here, because importing it costs a second

    model = VisionTransformer(8, 2, 2, 2, 8, 16, num_classes=10)
    for part in model.parameters():  # its head begins at zero
        nn.init.normal_(part, std=0.3)
    return model


BLOCK = [2, 4, 4, 4, 4]  # heads, then for each the dimensions of queries and keys, and of values
MODELS: dict[str, tuple[Build, Tensor, list[int]]] = {
    "vit": (small_vit, IMAGES, [16, *[2, 8, 8, 8, 8, 64] * 2]),
    "gpt": (gpt, CODES, [8, *[*BLOCK, 32] * 2]),
    "gpt tied": (partial(gpt, tied=True), CODES, [8, *[*BLOCK, 32] * 2]),
    "gpt rms": (partial(gpt, norm="rms"), CODES, [8, *[*BLOCK, 32] * 2]),
    "gpt rms tied": (partial(gpt, norm="rms", tied=True), CODES, [8, *[*BLOCK, 32] * 2]),
    "lstm": (partial(LSTM, (6,), 13), CODES, [8, 16]),
    "gpt2": (others.GPT2, CODES, [8, *[*BLOCK, 32] * 2]),
    "fused": (others.Fused, IMAGES, [16, 4, *[4] * 8, 32]),
    # one norm for all heads: these stay in their order, and so share their dimensions
    "fused, norms": (partial(others.Fused, norms=True), IMAGES, [16, 4, *[4] * 4, 32]),
    "encoder": (others.Encoder, CODES, [8, *[*BLOCK, 16] * 2]),
    "encoder, norms first": (partial(others.Encoder, True), CODES, [8, *[*BLOCK, 16] * 2]),
    "crossed": (others.Crossed, CODES, [8, *BLOCK, 12, *BLOCK]),
    "torchvision": (torchvision_transformer, COLOURS, [8, *[*BLOCK, 16] * 2]),
    # rotary positions hold the dimensions of queries and keys
    "llama": (others.Llama, CODES, [16, 2, 4, 4, 24]),
    "einsums": (others.Einsums, CODES, [8, 2, 4, 4]),
    "gated": (others.Gated, IMAGES, [24, 16, 12]),
    "grouped": (others.Grouped, IMAGES, [2, 2, 2, 3, 3, 3, 3]),
    "recurrent": (others.Recurrent, CODES, [6, 8, 8, 8, 8]),
    "queries": (others.Queries, CODES, [8, 5, *BLOCK, 8]),
    "mixer": (others.Mixer, IMAGES, [8, 12, 24]),
    "shuffled": (others.Shuffled, IMAGES, [2, 4, 4]),
}


@cache
def symmetry(name: str) -> Symmetry:
    build, inputs, _ = MODELS[name]
    return find_symmetry(build(), inputs)


def points(build: Build, found: Symmetry, count: int) -> list[Tensor]:
    """Points θ [n] where a module may begin, a little off."""
    drawn = []
    for seed in range(count):
        torch.manual_seed(seed)
        named = dict(build().double().named_parameters())
        theta = found.vector({name: named[name].detach() for name in found.shapes})
        drawn.append(theta + 0.01 * torch.randn_like(theta))
    return drawn


def outputs_at(build: Build, found: Symmetry, theta: Tensor, inputs: Tensor) -> Tensor:
    module = build().double().eval()
    fill(module, found.parts(theta))
    return logits_of(module(inputs))


@pytest.mark.parametrize("name", MODELS)
def test_groups(name: str) -> None:
    assert [group.size for group in symmetry(name).groups] == MODELS[name][2]


@pytest.mark.parametrize("name", MODELS)
def test_function_is_unchanged(name: str) -> None:
    build, inputs, _ = MODELS[name]
    found = symmetry(name)
    theta = points(build, found, 1)[0] * 1.5
    moved = found.apply(theta, found.random(stream(0, "function")))
    before, after = (outputs_at(build, found, at, inputs) for at in (theta, moved))
    assert not torch.equal(moved, theta) and before.std() > 1e-3
    assert (after - before).abs().max() < 1e-10 * before.abs().max()


@pytest.mark.parametrize("name", MODELS)
def test_planted_permutation_is_found_exactly(name: str) -> None:
    build, _, _ = MODELS[name]
    found = symmetry(name)
    for seed, theta in enumerate(points(build, found, SEEDS)):
        moved = found.apply(theta, found.random(stream(seed, "permutation")))
        assert not torch.equal(moved, theta)
        aligned = align(found, moved, theta, stream(seed, "align"), restarts=0)
        assert (aligned - theta).norm() <= 1e-12 * theta.norm()


# streams of RMS norms

TURNABLE: dict[str, tuple[Build, Tensor]] = {
    "gpt": (partial(GPT, (6,), 31, heads=2, width=16, norm="rms"), CODES),
    "llama": (others.Llama, CODES),
    "llama without scales": (partial(others.Llama, has_scale=False), CODES),
}


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-6), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", TURNABLE)
def test_planted_rotation_is_found(name: str, dtype: torch.dtype, bound: float) -> None:
    build, inputs = TURNABLE[name]
    found = find_symmetry(build(), inputs)
    assert [turnable.group.size for turnable in found.turnable] == [16]
    for seed, theta in enumerate(points(build, found, SEEDS)):
        renumbered = found.apply(theta, found.random(stream(seed, "permutation")))
        moved = found.turned(renumbered, [random_rotation(16, stream(seed, "rotation"))])
        assert (moved - theta).norm() > 0.1 * theta.norm()
        moved, fixed = moved.to(dtype), theta.to(dtype)
        aligned = align(found, moved, fixed, stream(seed, "align"), restarts=0)
        assert aligned.dtype == dtype
        assert (aligned - fixed).norm() <= bound * fixed.norm()


@pytest.mark.parametrize("name", TURNABLE)
def test_turning_and_folding_leave_the_function(name: str) -> None:
    build, inputs = TURNABLE[name]
    found = find_symmetry(build(), inputs)
    theta, other = points(build, found, 2)
    folded = found.folded(theta)
    turned = found.turned(theta, [random_rotation(16, stream(0, "rotation"))])
    before = outputs_at(build, found, theta, inputs)
    for same in (folded, turned, found.unfolded(turned, other)):
        after = outputs_at(build, found, same, inputs)
        assert (after - before).abs().max() < 1e-12 * before.abs().max()
    back = found.unfolded(folded, theta)
    assert (back - theta).norm() <= 1e-15 * theta.norm() * theta.numel() ** 0.5


@pytest.mark.parametrize("name", ["vit", "gpt", "gpt rms tied", "gated"])
def test_a_stream_that_something_looks_at_is_not_turned(name: str) -> None:
    """Layer norms subtract a mean; a scale before a tied weight would change the embedding."""
    assert symmetry(name).turnable == ()


def test_a_turned_network_comes_no_farther_than_a_renumbered_one() -> None:
    build, inputs = TURNABLE["gpt"]
    found = find_symmetry(build(), inputs)
    moving, fixed = points(build, found, 2)
    aligned = align(found, moving, fixed, stream(0), restarts=2)
    renumbered = align(Symmetry(found.shapes, found.groups), moving, fixed, stream(0), restarts=2)
    assert (aligned - fixed).norm() < (renumbered - fixed).norm() < (moving - fixed).norm()
    before, after = (outputs_at(build, found, at, inputs) for at in (moving, aligned))
    assert (after - before).abs().max() < 1e-10 * before.abs().max()


# what is not believed


def untied(labels: Any, out: Tensor, x: Tensor, y: Tensor) -> Any:
    """A product of matrices [b, n, k] and [b, k, m] that does not see that they share k."""
    alone = Operand(labels.of(y), "blm")
    return contract(labels, Operand(labels.of(x), "bnk"), alone, "bnm")


@pytest.mark.parametrize("name", ["vit", "gpt", "gpt2", "crossed"])
def test_queries_and_keys_renumbered_apart_are_found_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, "bmm", untied)
    build, inputs, _ = MODELS[name]
    with pytest.raises(UserError, match="changes what"):
        find_symmetry(build(), inputs)


def test_a_wrong_permutation_changes_the_function() -> None:
    """Of the dimensions of one head's queries alone."""
    build, inputs, _ = MODELS["gpt"]
    found = symmetry("gpt")
    theta = points(build, found, 1)[0]
    parts = found.parts(theta)
    for name in ("weight", "bias"):
        part = parts[f"blocks.0.attention.qkv.{name}"]
        part[:4] = part[[1, 0, 2, 3]]
    before, after = (outputs_at(build, found, at, inputs) for at in (theta, found.vector(parts)))
    assert (after - before).abs().max() > 1e-6 * before.abs().max()


def test_constants_hold_what_meets_them() -> None:
    """Parameters that are not trained stay where they are, and so do the units they tell apart."""
    module = gpt()
    names = [name for name, _ in module.named_parameters() if "rise" not in name]
    found = find_symmetry(module, CODES, trained=names)
    assert list(found.shapes) == names
    assert [group.size for group in found.groups] == [*BLOCK, *BLOCK]
    ones = [name for name in symmetry("gpt").shapes if "norm" not in name]
    found = find_symmetry(module, CODES, trained=ones)
    assert [group.size for group in found.groups] == MODELS["gpt"][2]
    uneven = {"norm.weight": torch.arange(8.0)}
    found = find_symmetry(module, CODES, trained=ones, constants=uneven)
    assert [group.size for group in found.groups] == [*BLOCK, 32, *BLOCK, 32]


# a network's landscape


def test_a_landscape_of_codes() -> None:
    model = partial(GPT, heads=2, width=8, norm="rms")
    units = symmetry_of(Network(model, modular_addition(7)))
    assert [group.size for group in units.groups] == [8, *BLOCK, 32]
    assert [turnable.group.size for turnable in units.turnable] == [8]


def test_frozen_parameters_of_a_landscape_hold_their_units() -> None:
    landscape = Network(ViT, digits(), parameters="blocks.0")
    assert [group.size for group in symmetry_of(landscape).groups] == [4, *[8] * 8, 128]


def test_between_copies_of_a_vit_the_aligned_line_is_level(tmp_path: Path) -> None:
    landscape = Network(partial(ViT, width=8, heads=2, layers=1, patch=4), digits(0.9))
    units = symmetry_of(landscape)
    start = landscape.init(1, stream(0, "init"))
    *_, last = SGD(300, 64, 0.1, Cosine(), 0.9).run(landscape, start, 0)
    (theta,) = last.cloud
    copy = units.apply(theta, units.random(stream(0, "permuted")))
    folder = UnitFolder(tmp_path, Unit("edge", {}))
    ways = Ways(landscape, Baselines(dense=5), torch.stack([theta, copy]), 0, folder)
    row = ways.aligned()
    assert row["aligned"]["same_function"] and row["aligned_barrier"]["value"] == 0
    assert ways.straight()["straight_barrier"]["value"] > 0.1
