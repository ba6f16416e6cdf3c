"""Handwritten digits that come with scikit-learn: the default, because nothing has to be
downloaded."""

from functools import cache
from importlib.metadata import distribution
from pathlib import Path

import numpy as np

from sgdtheory.annotations import Fraction, PositiveInt
from sgdtheory.data.draw import draws_of
from sgdtheory.data.images import Augment, Images, Mean, Scaling, Spread

FILE = "sklearn/datasets/data/digits.csv.gz"  # 64 pixels and the class, an image a line
SPLIT_SEED = 0  # fixed: the split is part of the data set, not of an experiment


def digits(
    test_share: Fraction = 0.2,
    limit: PositiveInt | None = None,
    augment: Augment = "none",
    padding: PositiveInt = 4,
    scaling: Scaling = "unit",
    mean: Mean = None,
    std: Spread = None,
) -> Images:
    """1,797 images of 1×8×8 pixels in ten classes (`sklearn.datasets.load_digits`), 0 … 16
    stretched to 0 … 255.

    The split is stratified and always the same: within each class the order is drawn by numpy's
    PCG64 with seed 0, and images spread evenly over the ordered classes go to the test set: 1,437
    for training, 360 for testing at 0.2. `limit` of each split are drawn evenly over the classes
    (None: all).
    """
    images, labels = _loaded()
    stretched = np.rint(images * (255 / 16))
    pixels = stretched.astype(np.uint8)[:, None]  # [N, 1, 8, 8]
    is_test = _stratified(labels, test_share)
    train = (pixels[~is_test], labels[~is_test])
    test = (pixels[is_test], labels[is_test])
    return Images.from_arrays(
        train, test, 10, "digits", augment, padding, scaling, limit, mean=mean, std=std
    )


@cache
def _loaded() -> tuple[np.ndarray, np.ndarray]:
    """Images [N, 8, 8] of 0 … 16 and classes [N], from scikit-learn's file where it lies there:
    importing it costs a second."""
    file = Path(str(distribution("scikit-learn").locate_file(FILE)))
    if not file.is_file():
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        return images.reshape(-1, 8, 8), labels
    rows = np.loadtxt(file, delimiter=",")  # [N, 65]
    pixels = rows[:, :-1]
    labels = rows[:, -1]
    return pixels.reshape(-1, 8, 8), labels.astype(np.int64)


def _stratified(labels: np.ndarray, share: float) -> np.ndarray:
    """Which examples [N] belong to the test set: ⌈share·N⌉ of them, from each class its share to
    within one."""
    count = len(labels)
    keys = draws_of(SPLIT_SEED).random(count)
    order = np.lexsort((keys, labels))  # by class, at random within a class
    size = int(np.ceil(share * count))
    places = np.arange(size) * count // max(size, 1)
    test = np.zeros(count, dtype=bool)
    test[order[places]] = True
    return test
