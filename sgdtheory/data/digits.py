"""Handwritten digits that come with scikit-learn: the default, because nothing has to be
downloaded."""

import numpy as np

from sgdtheory.annotations import Fraction, PositiveInt
from sgdtheory.data.images import Augment, Images, Scaling

SPLIT_SEED = 0  # fixed: the split is part of the data set, not of an experiment


def digits(
    test_share: Fraction = 0.2,
    limit: PositiveInt | None = None,
    augment: Augment = "none",
    padding: PositiveInt = 4,
    scaling: Scaling = "unit",
) -> Images:
    """1,797 images of 1×8×8 pixels in ten classes (`sklearn.datasets.load_digits`), 0 … 16
    stretched to 0 … 255.

    The split is stratified and always the same: within each class the order is drawn by numpy's
    PCG64 with seed 0, and images spread evenly over the ordered classes go to the test set: 1,437
    for training, 360 for testing at 0.2. `limit` of each split are drawn evenly over the classes
    (None: all).
    """
    from sklearn.datasets import load_digits  # here, because importing it costs a second

    loaded = load_digits()
    pixels = np.rint(loaded.images * (255 / 16)).astype(np.uint8)[:, None]  # [N, 1, 8, 8]
    labels = loaded.target
    test = _stratified(labels, test_share)
    train_split, test_split = ((pixels[rows], labels[rows]) for rows in (~test, test))
    return Images.from_arrays(
        train_split, test_split, 10, "digits", augment, padding, scaling, limit
    )


def _stratified(labels: np.ndarray, share: float) -> np.ndarray:
    """Which examples [N] belong to the test set: ⌈share·N⌉ of them, from each class its share to
    within one."""
    keys = np.random.Generator(np.random.PCG64(SPLIT_SEED)).random(len(labels))
    order = np.lexsort((keys, labels))  # by class, at random within a class
    size = int(np.ceil(share * len(labels)))
    test = np.zeros(len(labels), dtype=bool)
    test[order[np.arange(size) * len(labels) // max(size, 1)]] = True
    return test
