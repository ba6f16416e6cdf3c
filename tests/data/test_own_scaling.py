"""Pictures with a mean and a spread of one's own, and pictures of floating numbers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sgdtheory.data.digits import digits
from sgdtheory.data.float_images import FloatImages
from sgdtheory.data.images import Images
from sgdtheory.data.pack import images
from sgdtheory.errors import UserError
from tests.conftest import Command

MEAN, SPREAD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
QUICK = ["model=linear", "minima=2", "sgd.steps=5", "sgd.batch_size=8", "executor.workers=1"]


def floats(count: int, *shape: int) -> np.ndarray:
    drawn = np.random.Generator(np.random.PCG64(count)).normal(1.5, 3.0, (count, *shape))
    return drawn.astype(np.float32)


def saved(folder: Path, train: np.ndarray, test: np.ndarray, **more: Any) -> Path:
    path = folder / "mine.npz"
    labels = {"train_labels": np.arange(len(train)) % 3, "test_labels": np.arange(len(test)) % 3}
    np.savez(path, train_images=train, test_images=test, **labels, **more)
    return path


def opened(folder: Path, *shape: int, **settings: Any) -> Images:
    return images(saved(folder, floats(12, *shape), floats(6, *shape)), **settings)


def test_bytes_are_scaled_as_stated(tmp_path: Path) -> None:
    drawn = torch.randint(256, (18, 5, 4, 3), generator=torch.Generator().manual_seed(0))
    pixels = drawn.to(torch.uint8).numpy()
    found = images(saved(tmp_path, pixels[:12], pixels[12:]), mean=MEAN, std=SPREAD)
    plain = (pixels[:12].astype(np.float64) / 255 - MEAN) / SPREAD
    seen = found.prepared(found.train_inputs, torch.float64).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(seen, plain, atol=2e-6)
    said = "a network sees (pixel/255 − [0.4, 0.5, 0.6])/[0.2, 0.25, 0.3]"
    assert any(said in remark for remark in found.remarks)


def test_the_border_of_a_shift_is_what_becomes_zero() -> None:
    data = digits(augment="crop_flip", padding=4, mean=(0.5,), std=(0.25,))
    moved = data.augmented(data.train_inputs[:1], torch.tensor([[0, 0, 0]]))
    border = data.scaled(moved, torch.float64)[0, :, :4]
    assert float(border.abs().max()) <= 1 / 510 / 0.25
    beyond = digits(augment="crop_flip", padding=4, mean=(-0.3,), std=(1.0,))
    moved = beyond.augmented(beyond.train_inputs[:1], torch.tensor([[0, 0, 0]]))
    assert int(moved[0, :, :4].max()) == 0  # black, and no byte that has gone round


def test_the_border_of_float_pictures_is_exactly_zero(tmp_path: Path) -> None:
    data = opened(tmp_path, 6, 8, 3, augment="crop_flip", padding=2)
    moved = data.augmented(data.train_inputs, torch.tensor([[0, 4, 1]]).expand(12, -1))
    seen = data.prepared(moved, torch.float32)
    whole = data.prepared(data.train_inputs, torch.float32)
    # two rows down, two columns to the left, then mirrored
    assert bool((seen[:, :, :2] == 0).all()) and bool((seen[..., :2] == 0).all())
    assert torch.equal(seen[:, :, 2:, 2:], whole[:, :, :-2, 2:].flip(-1))


@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 3), (3, 6, 8), (6, 5, 1)], ids=str)
def test_float_pictures_have_mean_0_and_spread_1(shape: tuple[int, ...], tmp_path: Path) -> None:
    found = opened(tmp_path, *shape)
    raw = torch.from_numpy(floats(12, *shape))
    if raw.ndim == 3:
        raw = raw[:, None]
    elif shape[-1] <= 4:
        raw = raw.permute(0, 3, 1, 2)
    assert isinstance(found, FloatImages) and torch.equal(found.train_inputs, raw)
    seen = found.prepared(found.train_inputs, torch.float64)
    channels = raw.double().transpose(0, 1).flatten(1)
    mean, std = channels.mean(1), channels.std(1, correction=0)
    plain = (raw.double() - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(seen, plain, atol=2e-6, rtol=0)


def test_float_pictures_as_they_are_or_as_stated(tmp_path: Path) -> None:
    plain = opened(tmp_path, 6, 8, 3, scaling="unit")
    raw = plain.train_inputs
    assert torch.equal(plain.prepared(raw, torch.float32), raw)
    stated = opened(tmp_path, 6, 8, 3, mean=MEAN, std=SPREAD)
    seen = stated.prepared(raw, torch.float64).permute(0, 2, 3, 1)
    by_hand = (raw.double().permute(0, 2, 3, 1) - torch.tensor(MEAN)) / torch.tensor(SPREAD)
    torch.testing.assert_close(seen, by_hand, atol=2e-5, rtol=0)


def test_a_stated_layout_decides(tmp_path: Path) -> None:
    path = saved(tmp_path, floats(12, 4, 6, 4), floats(6, 4, 6, 4), layout=np.array("NHWC"))
    assert images(path).shape == (4, 4, 6)
    path = saved(tmp_path, floats(12, 4, 6, 4), floats(6, 4, 6, 4), layout=np.array("NCHW"))
    assert images(path).shape == (4, 6, 4)


def spoilt(value: float) -> np.ndarray:
    pixels = floats(12, 6, 8, 3)
    pixels[5, 2, 2, 1] = value
    return pixels


TEST = floats(6, 6, 8, 3)
WRONG: dict[str, tuple[Callable[[Path], Images], str]] = {
    "nan": (lambda f: images(saved(f, spoilt(np.nan), TEST)), "1 have no finite.* is number 5"),
    "inf": (lambda f: images(saved(f, spoilt(np.inf), TEST)), "1 have no finite.* is number 5"),
    "two layouts": (lambda f: opened(f, 4, 6, 3), "second or last; add an array layout"),
    "no layout": (lambda f: opened(f, 6, 8, 7), "second or last; add an array layout"),
    "layout": (lambda f: images(saved(f, TEST, TEST, layout=np.array("HWC"))), "NHWC or NCHW"),
    "bytes and floats": (
        lambda f: images(saved(f, TEST, TEST.astype(np.uint8))),
        "test images must be|but uint8 in the test set",
    ),
    "complex": (lambda f: images(saved(f, TEST + 1j, TEST)), "must be uint8 or float32"),
    "one of three": (lambda f: opened(f, 6, 8, 3, mean=(0.5,), std=(0.5,)), "has 1 numbers"),
    "mean alone": (lambda f: opened(f, 6, 8, mean=(0.5,)), "data.mean is given without data.std"),
    "std alone": (lambda f: digits(std=(0.5,)), "data.std is given without data.mean"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_or_ambiguous_is_refused(name: str, tmp_path: Path) -> None:
    make, says = WRONG[name]
    with pytest.raises(UserError, match=says) as fault:
        make(tmp_path)
    assert len(str(fault.value).splitlines()) == 1


def test_commands_know_them(sgdtheory: Command, tmp_path: Path) -> None:
    own = ["data.mean=[0.5]", "data.std=[0.25]"]
    for words in ([], own):
        said = sgdtheory("train", *QUICK, "data.limit=30", *words)
        assert said.code == 0, said.err
    assert "a network sees (pixel/255 − [0.5])/[0.25]" in said.err
    runs = list((tmp_path / "runs" / "train").iterdir())
    assert len(runs) == 2  # what a pixel becomes is part of what a run is
    pages = [(run / "report.html").read_text(encoding="utf-8") for run in runs]
    assert sum("a network sees" in page for page in pages) == 1
    bad = sgdtheory("train", *QUICK, "data.mean=[0.5]", "data.std=[0]")
    assert bad.code == 2 and "data.std" in bad.err and len(bad.err.splitlines()) == 1
    pack = saved(tmp_path, floats(24, 6, 8, 3), TEST)
    said = sgdtheory("train", *QUICK, "data=images", f"data.path={pack}", "run.root=floats")
    assert said.code == 0, said.err
    (results,) = tmp_path.glob("floats/train/*/results.json")
    assert json.loads(results.read_text(encoding="utf-8"))["dim"] == 3 * (3 * 6 * 8 + 1)
