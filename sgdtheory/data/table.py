"""A table of one's own: a row an example, its columns features and a target."""

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sgdtheory.annotations import Content, Fraction, PositiveInt
from sgdtheory.data.columns import columns_of
from sgdtheory.data.draw import draws_of, evenly
from sgdtheory.data.examples import Examples, demand_alike
from sgdtheory.data.npz import arrays_of, described
from sgdtheory.errors import UserError
from sgdtheory.runs.memory import refuse_what_does_not_fit

SPLIT = 0  # the seed of the split: part of the data set, not of an experiment
ARRAYS = ("train_inputs", "train_targets", "test_inputs", "test_targets")
MOST_CLASSES = 1000  # that whole numbers or words are taken for
LABELS = 10  # 0 … 9: whole numbers from 0 to below this are labels, as they are mostly written
SHARE = 0.1  # of the rows: whole numbers of more values than this are no classes; ours
RARE = 2  # rows: nor are whole numbers most of whose values have no more than these; ours
ROUNDING = 1e-12  # of a mean: what a column varies by less is how its numbers are rounded

Scaling = Literal["standard", "none"]
Kind = Literal["auto", "classes", "numbers"]


class Split(NamedTuple):
    """Features float64 [N, d] and targets: classes int64 [N], or numbers float64 [N] or [N, k]."""

    inputs: np.ndarray
    targets: np.ndarray


def table(
    path: Annotated[Path, Content],
    target: str | None = None,
    kind: Kind = "auto",
    test_share: Fraction = 0.2,
    limit: PositiveInt | None = None,
    scaling: Scaling = "standard",
    target_scaling: Scaling = "standard",
) -> Examples:
    """Features [N, d] and a target of each row, from `path`:

    - `.csv` or `.parquet`: numeric columns, one of them the `target` (None: the last);
    - `.npz` with `inputs` [N, d] and `targets` [N] or [N, k], or with the four arrays
      `train_inputs`, `train_targets`, `test_inputs` and `test_targets`.

    `kind` of the targets, auto: whole numbers, booleans and words are classes, the words in the
    order of the alphabet; other numbers are numbers. That whole numbers were taken for classes is
    told, unless they are two or lie in 0 … 9 from 0 on; they are refused where they look like
    numbers: more than ten, and more than a tenth of the rows, or most of them in one or two rows
    only. Where there is one set, `test_share` of its rows, drawn by numpy's PCG64 with seed 0, are
    for testing: evenly over the classes, of each of which one row at least is for training.
    `limit`: so many rows of each split, drawn likewise.
    scaling="standard" gives each feature, and each number of a target, mean 0 and variance 1 over
    the training rows, so that a mean squared error is the share of the variance that is left
    unexplained.
    """
    where = f"data.path={path}"
    splits, told = _read(path, target, kind, where)
    _refuse_what_is_not_finite(splits, where)
    is_classes = _holds_classes(splits[0].targets, kind, where)
    if is_classes and kind == "auto":
        told += _whole_numbers(splits[0].targets, where)
    if is_classes and len(splits) == 1:
        told += _alone(splits[0].targets)
    splits = _coded(splits, where) if is_classes else _numbers(splits, where)
    if len(splits) == 1:
        splits = _split(splits[0], test_share, where)
    if limit is not None:
        if is_classes:
            _refuse_few(limit, splits[0].targets, where)
        splits = [_some(split, limit) for split in splits]
    train, test = splits
    features = _scaled(train.inputs, test.inputs, scaling, "features", where)
    if is_classes:
        outputs = int(train.targets.max()) + 1
        targets = [torch.from_numpy(split.targets) for split in splits]
    else:
        outputs = 1
        if train.targets.ndim > 1:
            outputs = train.targets.shape[1]
        targets = _scaled(train.targets, test.targets, target_scaling, "targets", where)
    train_pair = (features[0], targets[0])
    test_pair = (features[1], targets[1])
    return Examples(*train_pair, *test_pair, outputs, path.stem, told=told)


def _read(
    path: Path, target: str | None, kind: Kind, where: str
) -> tuple[list[Split], tuple[str, ...]]:
    """What stands in a file: one set, or two of which the second is for testing; and what is to be
    told of it."""
    if not path.is_file():
        raise UserError(f"{where}: no such file")
    refuse_what_does_not_fit(path.stat().st_size, where)
    if path.suffix == ".npz":
        return _of_arrays(path, where), ()
    if path.suffix in (".csv", ".parquet"):
        inputs, targets, told = columns_of(path, target, kind, where)
        return [Split(inputs, targets)], told
    raise UserError(f"{where}: a table is .npz, .csv or .parquet, not {path.suffix or 'this'}")


def _refuse_what_is_not_finite(splits: list[Split], where: str) -> None:
    for split in splits:
        _refuse_non_finite(split.inputs, "features", where)
        _refuse_non_finite(split.targets, "targets", where)


def _refuse_non_finite(numbers: np.ndarray, what: str, where: str) -> None:
    if numbers.dtype.kind != "f":
        return
    rows = numbers.reshape(len(numbers), -1)
    is_wrong = ~np.isfinite(rows).all(1)
    count = is_wrong.sum()
    if count:
        first = is_wrong.argmax() + 1
        raise UserError(
            f"{where}: {count} rows have {what} that are no finite numbers, the first "
            f"is row {first}"
        )


def _of_arrays(path: Path, where: str) -> list[Split]:
    pack = arrays_of(path, where, _wanted)
    names = list(pack)
    splits = []
    for inputs_name, targets_name in zip(names[::2], names[1::2], strict=True):
        inputs = pack[inputs_name]
        targets = pack[targets_name]
        if inputs.ndim != 2 or inputs.dtype.kind not in "fiub":
            raise UserError(
                f"{where}: {inputs_name} must be numbers [N, d], not {described(inputs)}"
            )
        rows = len(inputs)
        if targets.ndim not in (1, 2) or len(targets) != rows:
            shape = list(targets.shape)
            raise UserError(f"{where}: {targets_name} must be [{rows}] or [{rows}, k], not {shape}")
        splits.append(Split(inputs.astype(np.float64), targets))
    return splits


def _wanted(there: list[str]) -> tuple[str, ...]:
    if "inputs" in there:
        return ("inputs", "targets")
    return ARRAYS


def _holds_classes(targets: np.ndarray, kind: str, where: str) -> bool:
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


def _whole_numbers(targets: np.ndarray, where: str) -> tuple[str, ...]:
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


def _coded(splits: list[Split], where: str) -> list[Split]:
    """Targets as classes int64 [N], numbered in the order of their values."""
    targets = np.concatenate([split.targets for split in splits])
    known = np.unique(targets)
    missing = np.setdiff1d(known, splits[0].targets)
    if len(missing):
        raise UserError(f"{where}: no training row has the target {missing[0]!r} of the test set")
    if len(known) < 2:
        raise UserError(f"{where}: all targets are {known[0]!r}, and nothing is to be learned")
    coded = []
    for split in splits:
        classes = np.searchsorted(known, split.targets)
        coded.append(Split(split.inputs, classes.astype(np.int64)))
    return coded


def _alone(targets: np.ndarray) -> tuple[str, ...]:
    """What is to be told of classes that have one row only."""
    known, counts = np.unique(targets, return_counts=True)
    alone = known[counts == 1]
    if not len(alone):
        return ()
    first = str(alone[0])
    others = ""
    if len(alone) > 1:
        others = f" and {len(alone) - 1} others"
    return (f"class {first!r}{others}: one row only, for training; none for testing",)


def _refuse_few(limit: int, targets: np.ndarray, where: str) -> None:
    classes = int(targets.max()) + 1
    if limit < classes:
        raise UserError(
            f"{where}: data.limit={limit} leaves no training row to some of {classes} classes"
        )


def _numbers(splits: list[Split], where: str) -> list[Split]:
    """Targets as numbers float64 [N] or [N, k]."""
    numbers = []
    for inputs, targets in splits:
        if targets.dtype.kind not in "fiub":
            raise UserError(f"{where}: the target holds words; say data.kind=classes")
        numbers.append(Split(inputs, targets.astype(np.float64)))
    return numbers


def _split(whole: Split, share: float, where: str) -> list[Split]:
    """Rows for training and for testing."""
    count = len(whole.targets)
    size = round(share * count)
    if not 0 < size < count:
        raise UserError(f"{where}: data.test_share={share:g} of {count} rows leaves a split empty")
    is_test = np.zeros(count, dtype=bool)
    is_test[_drawn(whole.targets, size)] = True
    if whole.targets.dtype == np.int64:
        _, firsts = np.unique(whole.targets, return_index=True)
        left = np.bincount(whole.targets[~is_test], minlength=len(firsts))
        emptied = firsts[left == 0]
        is_test[emptied] = False  # a class of which no row is left has its first back
    if not is_test.any():
        raise UserError(
            f"{where}: no row is left for testing, since classes have one row each; where the "
            f"target is numbers, say data.kind=numbers"
        )
    return [_rows(whole, ~is_test), _rows(whole, is_test)]


def _drawn(targets: np.ndarray, count: int) -> np.ndarray:
    """Which `count` rows are drawn, in order: evenly over classes, of numbers at random."""
    if targets.dtype == np.int64:
        return evenly(targets, count)
    order = draws_of(SPLIT).permutation(len(targets))
    return np.sort(order[:count])


def _some(split: Split, count: int) -> Split:
    chosen = _drawn(split.targets, count)
    return _rows(split, chosen)


def _rows(split: Split, chosen: np.ndarray) -> Split:
    return Split(split.inputs[chosen], split.targets[chosen])


def _scaled(
    train: np.ndarray, test: np.ndarray, scaling: Scaling, what: str, where: str
) -> list[Tensor]:
    """Both [N, …] with mean 0 and variance 1 over the training rows, a column each; a column that
    is constant there, to rounding, becomes 0 there."""
    demand_alike(where, train.shape, test.shape, what)
    if scaling == "standard":
        with np.errstate(over="ignore"):
            mean = train.mean(0)
            spread = train.std(0)
        if not np.isfinite(spread).all():
            raise UserError(
                f"{where}: {what} are too large to be scaled; write them in other units"
            )
        is_constant = spread <= ROUNDING * np.abs(mean)
        mean = np.where(is_constant, train[0], mean)
        spread = np.where(is_constant, 1.0, spread)
        train = np.where(is_constant, 0.0, (train - mean) / spread)
        test = (test - mean) / spread
    scaled = [np.ascontiguousarray(numbers) for numbers in (train, test)]
    return [torch.from_numpy(numbers) for numbers in scaled]
