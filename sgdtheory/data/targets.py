"""The targets of a table: classes or numbers, and what is to be told of them."""

from typing import Literal, NamedTuple

import numpy as np

from sgdtheory.errors import UserError

MOST_CLASSES = 1000  # that whole numbers or words are taken for
LABELS = 10  # 0 … 9: whole numbers from 0 to below this are labels, as they are mostly written
SHARE = 0.1  # of the rows: whole numbers of more values than this are no classes; ours
RARE = 2  # rows: nor are whole numbers most of whose values have no more than these; ours
NOTHING = {"na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none"}  # words for no value

Kind = Literal["auto", "classes", "numbers"]


class Split(NamedTuple):
    """Features float64 [N, d] and targets: classes int64 [N], or numbers float64 [N] or [N, k]."""

    inputs: np.ndarray
    targets: np.ndarray


def missing_words(targets: np.ndarray, kind: Kind, where: str) -> tuple[str, ...]:
    """What is to be told of words [N, …] that mostly stand for no value, as NA does, where they are
    said to name a class; UserError where nothing is said, and for words without letters."""
    if targets.dtype.kind not in "OUS":
        return ()
    told = []
    rows = targets.reshape(-1)
    known, firsts, counts = np.unique(rows, return_index=True, return_counts=True)
    for value, first, count in zip(known, firsts, counts, strict=True):
        word = _word(value).strip()
        if word and word.lower() not in NOTHING:
            continue
        missing = f"the target is {word!r} in {count:,} of {rows.size:,} rows, first in row "
        missing += str(first // (rows.size // len(targets)) + 1)
        if not word:
            raise UserError(f"{where}: {missing}; take these rows out, or give them a class")
        if kind != "classes":
            raise UserError(
                f"{where}: {missing}: where it is missing there, take these rows out; where it "
                f"names a class, say data.kind=classes"
            )
        told.append(f"{missing}: taken for a class, as data.kind=classes says")
    return tuple(told)


def shown(value: object) -> str:
    """A target as the user has written it, whatever numpy calls it."""
    if isinstance(value, np.generic):
        value = value.item()
    return repr(_word(value)) if isinstance(value, str | bytes) else str(value)


def _word(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


# classes


def holds_classes(targets: np.ndarray, kind: Kind, where: str) -> bool:
    """Whether targets [N] or [N, k] are classes, as `kind` says or, auto, by their dtype."""
    if kind != "auto":
        return kind == "classes"
    if targets.dtype.kind == "f" or targets.ndim > 1:
        return False
    known = len(np.unique(targets))
    if known > MOST_CLASSES:
        raise UserError(
            f"{where}: the target has {known:,} different values; say data.kind=numbers, or "
            f"data.kind=classes"
        )
    return True


def whole_numbers(targets: np.ndarray, where: str) -> tuple[str, ...]:
    """What is to be told of whole numbers [N] that are taken for classes, whatever the loss;
    UserError where they look like numbers."""
    if targets.dtype.kind not in "iu":
        return ()
    known, counts = np.unique(targets, return_counts=True)
    classes = len(known)
    first, last = int(known[0]), int(known[-1])
    if classes <= 2 or (first == 0 and last < LABELS):
        return ()
    rare = int((counts <= RARE).sum())
    if 2 * rare > classes or (classes > LABELS and classes > SHARE * len(targets)):
        raise UserError(
            f"{where}: the target holds whole numbers ({first} … {last}), {classes:,} different "
            f"ones in {len(targets):,} rows; say data.kind=numbers, or data.kind=classes if they "
            f"name classes"
        )
    return (
        f"the target's whole numbers ({first} … {last}) are taken for {classes:,} classes; where "
        f"they are numbers, say data.kind=numbers",
    )


def coded(splits: list[Split], where: str) -> tuple[list[Split], list[str]]:
    """Targets as classes int64 [N], numbered in the order of their values, and what these are."""
    flat = [_of_one_column(split.targets) for split in splits]
    known = np.unique(np.concatenate(flat))
    missing = np.setdiff1d(known, flat[0])
    if len(missing):
        raise UserError(
            f"{where}: no training row has the target {shown(missing[0])} of the test set"
        )
    if len(known) < 2:
        raise UserError(f"{where}: all targets are {shown(known[0])}, and nothing is to be learned")
    classes = []
    for (inputs, _), targets in zip(splits, flat, strict=True):
        places = np.searchsorted(known, targets)
        classes.append(Split(inputs, places.astype(np.int64)))
    return classes, [shown(value) for value in known]


def _of_one_column(targets: np.ndarray) -> np.ndarray:
    """Targets [N] of [N, 1]; others as they are."""
    if targets.ndim == 2 and targets.shape[1] == 1:
        return targets[:, 0]
    return targets


def none_for_testing(counts: np.ndarray, test: np.ndarray, names: list[str]) -> tuple[str, ...]:
    """What is to be told of classes without a row among those for testing [N], of which there are
    `counts` [K] in the table."""
    absent = np.setdiff1d(np.arange(len(names)), test)
    if not len(absent):
        return ()
    others = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
    are_alone = (counts[absent] == 1).all()
    why = "one row only, for training; " if are_alone else ""
    return (f"class {names[absent[0]]}{others}: {why}none for testing",)


def rows_of_classes(splits: list[Split]) -> np.ndarray:
    """How many rows, or places of rows, each class has [K]; [0] of numbers."""
    targets = np.concatenate([split.targets.ravel() for split in splits])
    if targets.dtype != np.int64:
        return np.zeros(0, dtype=np.int64)
    return np.bincount(targets)


def refuse_few(limit: int, counts: np.ndarray, where: str) -> None:
    """Raise UserError where so many rows are fewer than the classes, of `counts` [K] rows."""
    classes = len(counts)
    if limit < classes:
        raise UserError(
            f"{where}: data.limit={limit} leaves no training row to some of {classes} classes"
        )


# numbers


def numbered(splits: list[Split], where: str) -> list[Split]:
    """Targets as numbers float64 [N] or [N, k]."""
    numbers = []
    for inputs, targets in splits:
        if targets.dtype.kind not in "fiub":
            raise UserError(f"{where}: the target holds words; say data.kind=classes")
        numbers.append(Split(inputs, targets.astype(np.float64)))
    return numbers


def constant(targets: np.ndarray) -> tuple[str, ...]:
    """What is to be told of training targets [N] or [N, k] that are all alike."""
    columns = targets.reshape(len(targets), -1)
    is_constant = (columns == columns[0]).all(0)
    if not is_constant.any():
        return ()
    first = int(is_constant.argmax())
    value = f"{columns[0, first]:g}"
    if is_constant.all():
        if len(is_constant) > 1:
            value = "alike"
        return (f"all training targets are {value}: there is nothing to be learned of them",)
    more = f" ({is_constant.sum()} of {len(is_constant)} are like this)"
    return (
        f"number {first + 1} of the training targets is {value} in all rows: there is nothing to "
        f"be learned of it{more}",
    )
