"""Images: what they refuse, how they are normalised, and augmentation against a plain loop."""

import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sgdtheory.data.draw import evenly
from sgdtheory.data.images import Images
from sgdtheory.data.remarks import remarks_on
from sgdtheory.errors import UserError
from sgdtheory.rng import stream


def some_images(**changes: Any) -> Images:
    draws = stream(0, "some images")
    parts: dict[str, Any] = {
        "train_inputs": torch.randint(0, 256, (12, 3, 5, 4), generator=draws).byte(),
        "train_targets": torch.arange(12) % 3,
        "test_inputs": torch.randint(0, 256, (6, 3, 5, 4), generator=draws).byte(),
        "test_targets": torch.arange(6) % 3,
        "outputs": 3,
        "name": "some",
    }
    return Images(**{**parts, **changes})


def test_shape_and_count() -> None:
    images = some_images()
    assert (images.shape, images.count, images.augment) == ((3, 5, 4), 12, "none")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train_inputs": torch.zeros(12, 3, 5, 4)},
            r"train images must be uint8 \[N, C, H, W\], not float32",
        ),
        (
            {"test_inputs": torch.zeros(6, 5, 4).byte()},
            r"test images must be .* not uint8 \[6, 5, 4\]",
        ),
        ({"train_targets": torch.arange(12).int() % 3}, "train labels must be int64"),
        ({"test_targets": torch.zeros(6, 1).long()}, r"test labels must be int64 \[N\]"),
        ({"train_targets": torch.zeros(11).long()}, "12 images but 11 labels"),
        (
            {"test_targets": torch.full((6,), 3)},
            r"test labels lie in 3 … 3, but there are 3 classes",
        ),
        ({"train_targets": torch.arange(12) % 3 - 1}, "lie in -1"),
        (
            {"test_inputs": torch.zeros(0, 3, 5, 4).byte(), "test_targets": torch.zeros(0).long()},
            "test has no images",
        ),
        (
            {"test_inputs": torch.zeros(6, 1, 5, 4).byte()},
            r"\(3, 5, 4\) but \(1, 5, 4\) in the test set",
        ),
    ],
)
def test_defects_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        some_images(**changes)


def test_scaling_unit_leaves_pixels_between_0_and_1_and_pads_with_black() -> None:
    images = some_images(augment="crop_flip", padding=4, scaling="unit")
    x = images.scaled(images.train_inputs, torch.float64)
    torch.testing.assert_close(x, images.train_inputs.double() / 255, rtol=1e-14, atol=0)
    away = images.augmented(images.train_inputs[:1], torch.tensor([[0, 0, 0]]))
    assert away[0, :, :4].max() == 0


def test_standard_training_images_have_mean_0_and_variance_1() -> None:
    images = some_images()
    x = images.scaled(images.train_inputs, torch.float64)
    torch.testing.assert_close(x.mean((0, 2, 3)), torch.zeros(3).double(), rtol=0, atol=1e-14)
    torch.testing.assert_close(
        x.var((0, 2, 3), correction=0), torch.ones(3).double(), rtol=1e-13, atol=0
    )
    plain = images.train_inputs.double() / 255
    torch.testing.assert_close(images.mean, plain.mean((0, 2, 3)), rtol=1e-14, atol=0)
    torch.testing.assert_close(images.std, plain.std((0, 2, 3), correction=0), rtol=1e-13, atol=0)


def test_scaling_keeps_leading_axes_dtype_and_its_argument() -> None:
    images = some_images()
    before = images.train_inputs.clone()
    x = images.scaled(images.train_inputs.reshape(2, 6, 3, 5, 4), torch.float32)
    assert x.shape == (2, 6, 3, 5, 4)
    assert x.dtype == torch.float32
    assert torch.equal(images.train_inputs, before)


def test_a_constant_channel_becomes_zero() -> None:
    pixels = some_images().train_inputs.clone()
    pixels[:, 1] = 77
    images = some_images(train_inputs=pixels)
    assert images.std[1] == 1
    assert images.scaled(pixels, torch.float64)[:, 1].abs().max() < 1e-15


def test_moved_and_cut_images_are_images() -> None:
    images = some_images(augment="crop_flip", padding=2)
    assert torch.equal(images.to("cpu").train_inputs, images.train_inputs)
    small = images.first(train=6, test=3)
    assert (small.count, len(small.test_targets), small.augment, small.padding) == (
        6,
        3,
        "crop_flip",
        2,
    )


def crop_flip_one(image: Tensor, draw: Tensor, padding: int, fill: Tensor) -> Tensor:
    """One image, pixel by pixel."""
    channels, height, width = image.shape
    dy, dx, flip = draw.tolist()
    out = torch.empty_like(image)
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                source_y, source_x = y + dy - padding, (width - 1 - x if flip else x) + dx - padding
                inside = 0 <= source_y < height and 0 <= source_x < width
                out[c, y, x] = image[c, source_y, source_x] if inside else fill[c]
    return out


@pytest.mark.parametrize("padding", [1, 2, 4])
def test_augmentation_against_a_plain_loop(padding: int) -> None:
    images = some_images(augment="crop_flip", padding=padding)
    batch = images.train_inputs.reshape(3, 4, 3, 5, 4)
    draws = images.augmentation((3, 4), stream(1))
    assert draws is not None
    found = images.augmented(batch, draws)
    fill = (images.mean * 255).round().byte()
    for p in range(3):
        for b in range(4):
            assert torch.equal(found[p, b], crop_flip_one(batch[p, b], draws[p, b], padding, fill))


def test_draws_cover_their_range_and_depend_on_the_stream_alone() -> None:
    images = some_images(augment="crop_flip", padding=3)
    draws, again = (images.augmentation((50, 40), stream(2, "block", 0)) for _ in range(2))
    assert draws is not None
    assert again is not None
    assert torch.equal(draws, again)
    assert draws.shape == (50, 40, 3)
    assert [axis.unique().tolist() for axis in draws.unbind(-1)] == [
        list(range(7)),
        list(range(7)),
        [0, 1],
    ]


def test_nothing_is_drawn_when_nothing_is_augmented() -> None:
    assert some_images().augmentation((5,), stream(0)) is None


def test_the_border_is_nearly_zero_after_scaling() -> None:
    images = some_images(augment="crop_flip", padding=4)
    away = images.augmented(
        images.train_inputs[:1], torch.tensor([[0, 0, 0]])
    )  # only the last row keeps pixels
    border = images.scaled(away, torch.float64)[0, :, :4, :]
    assert (border.abs() <= 1 / (510 * images.std[:, None, None]) + 1e-12).all()


# what is told of them


def told(**changes: Any) -> str:
    return "\n".join(some_images(**changes).remarks)


def test_nothing_is_told_of_good_images() -> None:
    assert some_images().remarks == ()


def test_images_in_both_splits_are_counted() -> None:
    images = some_images()
    test = images.test_inputs.clone()
    test[1], test[4] = images.train_inputs[7], images.train_inputs[0]
    assert told(test_inputs=test).startswith("2 of 6 test images are training images too")
    test[4, 0, 0, 0] ^= 1  # one bit of one pixel
    assert told(test_inputs=test).startswith("1 of 6 test images are training images too")


def test_a_mark_that_is_equal_by_chance_is_no_equal_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sgdtheory.data.remarks._marks", lambda images: np.zeros(len(images), np.uint64)
    )
    assert some_images().remarks == ()


def test_labels_beyond_64_bits_are_told_as_they_are() -> None:
    pixels = np.zeros((2, 1, 3, 3), np.uint8)
    labels = np.array([0, 2**63 + 5], np.uint64)
    with pytest.raises(UserError, match=f"labels holds {2**63 + 5}"):
        Images.from_arrays((pixels, labels), (pixels, labels), 2, "mine")


def test_equal_training_images_with_other_labels_are_counted() -> None:
    images = some_images().train_inputs.clone()
    images[3], images[6] = images[0], images[0]  # one class
    assert told(train_inputs=images) == ""
    images[4] = images[0]
    assert told(train_inputs=images).startswith("4 training images occur again with another label")


def test_images_of_one_colour_are_counted() -> None:
    images = some_images().train_inputs.clone()
    images[2], images[5] = 0, torch.tensor([1, 2, 3])[:, None, None]
    images[8, 1] = 7  # two channels more vary
    images[9] = 9
    images[9, 0, 1, 1] = 8
    assert told(train_inputs=images) == "2 training and 0 test images are of one colour throughout"


def test_classes_without_an_example_are_named() -> None:
    assert (
        told(test_targets=torch.tensor([0, 0, 2, 2, 0, 2]))
        == "no test image is of class 1 (2 of 3 classes have one)"
    )
    assert told(outputs=5).splitlines() == [
        "no training image is of class 3, 4 (3 of 5 classes have one)",
        "no test image is of class 3, 4 (3 of 5 classes have one)",
    ]


def test_remarks_on_as_many_images_as_cifar_has_take_no_time() -> None:
    draws = np.random.Generator(np.random.PCG64(0))
    pixels = draws.integers(0, 256, (60_000, 3, 32, 32), dtype=np.uint8)
    labels = np.arange(60_000) % 10
    times = []
    for _ in range(3):
        began = time.process_time()
        assert (
            remarks_on((pixels[:50_000], labels[:50_000]), (pixels[50_000:], labels[50_000:]), 10)
            == ()
        )
        times.append(time.process_time() - began)
    assert min(times) < 0.5  # 0.15 on a quiet core


# some of them


@pytest.mark.parametrize("count", [1, 7, 10, 23, 60])
def test_a_draw_is_even_over_classes_whatever_their_order(count: int) -> None:
    labels = np.arange(600) // 60  # sorted, as folders are
    rows = evenly(labels, count)
    numbers = np.bincount(labels[rows], minlength=10)
    assert len(set(rows.tolist())) == len(rows) == count and (np.diff(rows) > 0).all()
    assert numbers.max() - numbers.min() <= 1
    assert set(rows.tolist()) <= set(evenly(labels, count + 1).tolist())
    assert np.array_equal(rows, evenly(labels, count))


def test_a_draw_takes_all_of_a_class_that_has_too_few() -> None:
    labels = np.array([0] * 50 + [1] * 3 + [2] * 50)
    assert np.bincount(labels[evenly(labels, 33)]).tolist() == [15, 3, 15]
    assert np.array_equal(evenly(labels, 1000), np.arange(103))


def test_a_draw_is_no_head_of_the_folder() -> None:
    assert evenly(np.zeros(1000, int), 20).max() > 500
