"""Sequences of one's own: integers, or the characters of a text; the target is the next one."""

from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from sgdtheory.annotations import Content, Fraction, PositiveInt
from sgdtheory.data.examples import Examples
from sgdtheory.data.npz import arrays_of, described
from sgdtheory.errors import UserError
from sgdtheory.runs.foreign import text_of

MOST_TEXT = 1 << 30  # bytes of a text
BYTE = 256  # codes that fit into one
LARGEST = 2**31 - 1  # code, which an int32 holds


def tokens(
    path: Annotated[Path, Content],
    window: PositiveInt = 64,
    test_share: Fraction = 0.1,
    limit: PositiveInt | None = None,
    vocabulary: PositiveInt | None = None,
) -> Examples:
    """Windows of T codes [N, T] with, at each, the code that comes next [N, T], from `path`:

    - `.npz` with integers `train` [N, T + 1] and `test` [M, T + 1], whole sequences; or `tokens`
      [L], one long sequence that is cut into windows of `window` + 1;
    - a text in UTF-8: its characters, numbered in the order of their code points.

    Of one long sequence the last `test_share` is for testing. `limit`: so many windows of each
    split, evenly spread (None: all). `vocabulary`: how many codes there are (None: the largest
    and one).
    """
    where = f"data.path={path}"
    if path.suffix == ".npz":
        train, test = _of_arrays(path, where, window, test_share)
    else:
        codes = _characters(path)
        train, test = _cut(codes, window, test_share, where)
    if limit is not None:
        train = _some(train, limit)
        test = _some(test, limit)
    most = max(int(train.max()), int(test.max()))
    known = vocabulary or most + 1
    if most >= known:
        raise UserError(f"{where}: holds code {most}, but data.vocabulary={known} ends before it")
    train_pair = _inputs_and_targets(train, known)
    test_pair = _inputs_and_targets(test, known)
    return Examples(*train_pair, *test_pair, known, path.stem)


def _inputs_and_targets(windows: Tensor, known: int) -> tuple[Tensor, Tensor]:
    """The codes of windows [N, T + 1] but for the last, and at each the next, both [N, T]."""
    inputs = windows[:, :-1]
    targets = windows[:, 1:]
    return _small(inputs, known), targets.long().contiguous()


def _of_arrays(path: Path, where: str, window: int, share: float) -> tuple[Tensor, Tensor]:
    pack = arrays_of(path, where, partial(_wanted, where))
    for name, array in pack.items():
        axes = 2
        wanted = "[N, T + 1]"
        if name == "tokens":
            axes = 1
            wanted = "[L]"
        if array.dtype.kind not in "iu" or array.ndim != axes:
            found = described(array)
            raise UserError(f"{where}: {name} must be integers {wanted}, not {found}")
        if array.size:
            lowest = array.min()
            if lowest < 0:
                raise UserError(f"{where}: {name} holds {lowest}; codes are 0, 1, …")
            highest = array.max()
            if highest > LARGEST:
                raise UserError(
                    f"{where}: {name} holds {highest}; codes go up to {LARGEST}: number them anew, "
                    f"as numpy.unique(…, return_inverse=True) does"
                )
    codes = {}
    for name, array in pack.items():
        codes[name] = torch.from_numpy(array.astype(np.int64))
    if "tokens" in codes:
        return _cut(codes["tokens"], window, share, where)
    for name, split in codes.items():
        shape = list(split.shape)
        sequences, length = shape
        if sequences < 1 or length < 2:
            raise UserError(f"{where}: {name} {shape} holds no sequence of 2 codes")
    return codes["train"], codes["test"]


def _wanted(where: str, there: list[str]) -> tuple[str, ...]:
    splits = ("train", "test")
    if "tokens" not in there:
        return splits
    beside = [name for name in splits if name in there]
    if beside:
        raise UserError(
            f"{where}: holds tokens, to be split, and {' and '.join(beside)} beside it; leave "
            f"tokens out, or what is beside it"
        )
    return ("tokens",)


def _characters(path: Path) -> Tensor:
    text = text_of(path, MOST_TEXT, "text")
    encoded = text.encode("utf-32-le")
    points = np.frombuffer(encoded, dtype=np.uint32)
    known, codes = np.unique(points, return_inverse=True)
    if len(known) < 2:
        raise UserError(f"data.path={path}: a text of {len(known)} different characters")
    return torch.from_numpy(codes.astype(np.int64))


def _cut(codes: Tensor, window: int, share: float, where: str) -> tuple[Tensor, Tensor]:
    """Windows [N, window + 1] of a sequence [L] that do not overlap, its last part for testing."""
    cut = round((1 - share) * len(codes))
    train = _windows(codes[:cut], window, "train", where)
    test = _windows(codes[cut:], window, "test", where)
    return train, test


def _windows(codes: Tensor, window: int, split: str, where: str) -> Tensor:
    """Windows [N, window + 1] of a sequence [L] that do not overlap."""
    length = window + 1
    count = len(codes) // length
    if not count:
        raise UserError(
            f"{where}: {len(codes):,} codes to {split} are no window of {window} + 1; set "
            f"data.window or data.test_share"
        )
    return codes[: count * length].view(count, length)


def _some(windows: Tensor, limit: int) -> Tensor:
    """At most `limit` windows [N, T + 1], evenly spread."""
    count = min(limit, len(windows))
    places = torch.arange(count) * len(windows) // count
    return windows[places]


def _small(codes: Tensor, known: int) -> Tensor:
    """Codes [N, T] in as few bytes as hold them."""
    kind = torch.uint8 if known <= BYTE else torch.int32
    return codes.to(kind).contiguous()
