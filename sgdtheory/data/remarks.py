"""What a user should know of images before believing what is measured on them, a line each."""

from hashlib import blake2b

import numpy as np

MOST_CLASSES = 6  # that are named
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
    groups = _identical(train[0], test[0])
    count = len(train[0])
    both = torn = 0
    for group in groups:
        of_train = [i for i in group if i < count]
        if of_train:
            both += len(group) - len(of_train)
        if len(set(train[1][of_train].tolist())) > 1:
            torn += len(of_train)
    blank = [_constant(images) for images, _ in (train, test)]
    remarks = []
    if both:
        remarks.append(
            f"{both:,} of {len(test[0]):,} test images are training images too: test errors say "
            f"too little"
        )
    if torn:
        remarks.append(
            f"{torn:,} training images occur again with another label: no network gets them all "
            f"right"
        )
    if any(blank):
        remarks.append(
            f"{blank[0]:,} training and {blank[1]:,} test images are of one colour throughout"
        )
    remarks.append(_absent(train[1], classes, "training"))
    remarks.append(_absent(test[1], classes, "test"))
    return tuple(filter(None, remarks))


def _absent(labels: np.ndarray, classes: int, split: str) -> str:
    absent = np.flatnonzero(np.bincount(labels, minlength=classes) == 0).tolist()
    if not absent:
        return ""
    more = " …" if len(absent) > MOST_CLASSES else ""
    named = ", ".join(map(str, absent[:MOST_CLASSES]))
    return (
        f"no {split} image is of class {named}{more} ({classes - len(absent)} of {classes} "
        f"classes have one)"
    )


def _identical(*splits: np.ndarray) -> list[list[int]]:
    """Groups of equal images, as rows of the splits one after another, each in order."""
    marks = np.concatenate([_marks(images) for images in splits])
    order = np.argsort(marks, kind="stable")
    same = marks[order[1:]] == marks[order[:-1]]
    alike = np.flatnonzero(np.append(False, same) | np.append(same, False))
    starts = np.cumsum([0, *map(len, splits)])
    groups: dict[bytes, list[int]] = {}
    for row in order[alike].tolist():  # few: only these are looked at byte by byte
        split = int(np.searchsorted(starts, row, "right")) - 1
        digest = blake2b(splits[split][row - starts[split]].tobytes()).digest()
        groups.setdefault(digest, []).append(row)
    return [sorted(group) for group in groups.values() if len(group) > 1]


def _marks(images: np.ndarray) -> np.ndarray:
    """A number of each image [N], equal for equal ones and seldom for others: its 64-bit words
    times random odd numbers."""
    rows = images.reshape(len(images), -1)
    if short := -rows.shape[1] % WORD:
        rows = np.pad(rows, ((0, 0), (0, short)))
    words = np.ascontiguousarray(rows).view(np.uint64)
    generator = np.random.Generator(np.random.PCG64(0))
    drawn = generator.integers(0, 1 << 63, words.shape[1], dtype=np.uint64)
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
    return int((pixels[probed] == first[probed][:, :, None]).all((1, 2)).sum())
