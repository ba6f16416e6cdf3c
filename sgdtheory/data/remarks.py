"""What a user should know of examples before believing what is measured on them, a line each."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from sgdtheory.data.draw import draws_of

MOST_CLASSES = 6  # that are named
UNLIKE = 0.05  # by which shares of a class may differ between training and test set; ours
WORD = 8  # bytes


def remarks_on(
    train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], classes: int
) -> tuple[str, ...]:
    """Remarks on training and test images uint8 [N, C, H, W] with their labels [N]; none where
    nothing is odd.

    Told are test images that are training images too, training images that occur again with another
    label, images of one colour throughout, and classes without an example. 60,000 images of CIFAR
    take 0.15 s.
    """
    train_images, train_labels = train
    test_images, test_labels = test
    count = len(train_images)
    both = 0
    torn = 0
    for group in _identical(train_images, test_images):
        of_train = [i for i in group if i < count]
        labels = np.unique(train_labels[of_train])
        if of_train:
            both += len(group) - len(of_train)
        if len(labels) > 1:
            torn += len(of_train)
    blank_of_train = _constant(train_images)
    blank_of_test = _constant(test_images)
    remarks = []
    if both:
        remarks.append(
            f"{both:,} of {len(test_images):,} test images are training images too: test errors "
            f"say too little"
        )
    if torn:
        remarks.append(
            f"{torn:,} training images occur again with another label: no network gets them all "
            f"right"
        )
    if blank_of_train or blank_of_test:
        remarks.append(
            f"{blank_of_train:,} training and {blank_of_test:,} test images are of one colour "
            f"throughout"
        )
    remarks.append(_absent(train_labels, classes, "training"))
    remarks.append(_absent(test_labels, classes, "test"))
    return tuple(filter(None, remarks))


def unlike(
    train: np.ndarray, test: np.ndarray, names: Sequence[object], why: str
) -> tuple[str, ...]:
    """The remark, with its reason, on labels [N] of training and [M] of testing in which a class
    has other shares, by more than a row or two make; none where there is none such."""
    if train.ndim > 1 or not len(train) or not len(test):
        return ()
    shares = []
    for labels in (train, test):
        shares.append(np.bincount(labels, minlength=len(names)) / len(labels))
    gaps = np.abs(shares[0] - shares[1])
    worst = int(gaps.argmax())
    if gaps[worst] <= max(UNLIKE, 2 / min(len(train), len(test))):
        return ()
    of_train, of_test = (100 * share[worst] for share in shares)
    return (
        f"{why}, drawn evenly over the classes, leaves class {names[worst]} {of_train:.0f} % of "
        f"the training set, but {of_test:.0f} % of the test set",
    )


def _absent(labels: np.ndarray, classes: int, split: str) -> str:
    counts = np.bincount(labels, minlength=classes)
    absent = np.flatnonzero(counts == 0)
    if not len(absent):
        return ""
    named = ", ".join(str(label) for label in absent[:MOST_CLASSES])
    if len(absent) > MOST_CLASSES:
        named += " …"
    present = classes - len(absent)
    return f"no {split} image is of class {named} ({present} of {classes} classes have one)"


def _identical(*splits: np.ndarray) -> list[list[int]]:
    """Groups of equal images, as rows of the splits one after another, each in order."""
    marks = np.concatenate([_marks(images) for images in splits])
    order = np.argsort(marks, kind="stable")
    ordered = marks[order]
    same = ordered[1:] == ordered[:-1]
    as_before = np.append(False, same)
    as_after = np.append(same, False)
    alike = order[as_before | as_after]
    groups: dict[bytes, list[int]] = {}
    for row in alike.tolist():  # few: only these are looked at byte by byte
        image = _image(splits, row)
        digest = blake2b(image.tobytes()).digest()
        groups.setdefault(digest, []).append(row)
    return [sorted(group) for group in groups.values() if len(group) > 1]


def _image(splits: Sequence[np.ndarray], row: int) -> np.ndarray:
    """The image of one row of the splits one after another."""
    for images in splits:
        if row < len(images):
            break
        row -= len(images)
    image: np.ndarray = images[row]
    return image


def _marks(images: np.ndarray) -> np.ndarray:
    """A number of each image [N], equal for equal ones and seldom for others: its 64-bit words
    times random odd numbers."""
    rows = images.reshape(len(images), -1)
    missing = -rows.shape[1] % WORD
    if missing:
        rows = np.pad(rows, ((0, 0), (0, missing)))
    words = np.ascontiguousarray(rows).view(np.uint64)
    drawn = draws_of(0).integers(0, 1 << 63, words.shape[1], dtype=np.uint64)
    odd = drawn * np.uint64(2) + np.uint64(1)
    marks: np.ndarray = np.einsum("ij,j->i", words, odd)
    return marks


def _constant(images: np.ndarray) -> int:
    """How many images are of one colour; looked at whole are those whose few probed pixels are
    equal."""
    pixels = images.reshape(*images.shape[:2], -1)  # [N, C, HW]
    size = pixels.shape[2]
    if size == 1:
        return 0
    first = pixels[:, :, 0]
    probed = np.ones(len(images), dtype=bool)
    for place in (size // 2, size // 3, size - 1):
        probed &= (pixels[:, :, place] == first).all(1)
    colours = first[probed][:, :, None]
    is_constant = (pixels[probed] == colours).all((1, 2))
    return int(is_constant.sum())
