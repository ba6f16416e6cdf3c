"""A table of one's own: a row an example, its columns features and a target."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from sgdtheory.annotations import Content, Fraction, PositiveInt
from sgdtheory.data.columns import columns_of
from sgdtheory.data.draw import draws_of, evenly, in_proportion
from sgdtheory.data.examples import Examples, demand_alike
from sgdtheory.data.npz import arrays_of, described
from sgdtheory.data.remarks import unlike
from sgdtheory.data.stored import outputs_for
from sgdtheory.data.targets import (
    Kind,
    Split,
    coded,
    constant,
    holds_classes,
    missing_words,
    none_for_testing,
    numbered,
    refuse_few,
    rows_of_classes,
    whole_numbers,
)
from sgdtheory.errors import UserError
from sgdtheory.runs.memory import refuse_what_does_not_fit

SPLIT = 0  # the seed of the split: part of the data set, not of an experiment
ARRAYS = ("train_inputs", "train_targets", "test_inputs", "test_targets")
ROUNDING = 1e-12  # of a mean: what a column varies by less is how its numbers are rounded

Scaling = Literal["standard", "none"]


def table(
    path: Annotated[Path, Content],
    target: str | None = None,
    kind: Kind = "auto",
    test_share: Fraction = 0.2,
    stratify: bool = True,
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
    for testing: with `stratify` of each class its share, and one row at least for training, then
    for testing; else whatever comes.
    `limit`: so many rows of each split, drawn evenly over the classes.
    scaling="standard" gives each feature, and each number of a target, mean 0 and variance 1 over
    the training rows, so that a mean squared error is the share of the variance that is left
    unexplained.
    """
    where = f"data.path={path}"
    splits, told = _read(path, target, kind, where)
    is_classes = holds_classes(splits[0].targets, kind, where)
    if is_classes:
        if kind == "auto":
            told += whole_numbers(splits[0].targets, where)
        splits, names = coded(splits, where)
    else:
        splits = numbered(splits, where)
    counts = rows_of_classes(splits)
    if len(splits) == 1:
        splits = _split(splits[0], test_share, stratify, where)
    if limit is not None:
        refuse_few(limit, counts, where)
        splits = [_some(split, limit) for split in splits]
    train, test = splits
    features = _scaled(train.inputs, test.inputs, scaling, "features", where)
    if is_classes:
        told += none_for_testing(counts, test.targets, names)
        if limit is not None:
            told += unlike(train.targets, test.targets, names, f"data.limit={limit}")
        targets = [torch.from_numpy(split.targets) for split in splits]
    else:
        told += constant(train.targets)
        targets = _scaled(train.targets, test.targets, target_scaling, "targets", where)
    train_pair = (features[0], targets[0])
    test_pair = (features[1], targets[1])
    return Examples(*train_pair, *test_pair, outputs_for(*targets), path.stem, told=told)


def _read(
    path: Path, target: str | None, kind: Kind, where: str
) -> tuple[list[Split], tuple[str, ...]]:
    """What stands in a file: one set, or two of which the second is for testing; and what is to be
    told of it."""
    if not path.is_file():
        raise UserError(f"{where}: no such file")
    refuse_what_does_not_fit(path.stat().st_size, where)
    told: tuple[str, ...] = ()
    if path.suffix == ".npz":
        splits = _of_arrays(path, where)
    elif path.suffix in (".csv", ".parquet"):
        inputs, targets, told = columns_of(path, target, kind, where)
        splits = [Split(inputs, targets)]
    else:
        raise UserError(f"{where}: a table is .npz, .csv or .parquet, not {path.suffix or 'this'}")
    for split in splits:
        _refuse_non_finite(split.inputs, "features", where)
        _refuse_non_finite(split.targets, "targets", where)
        told += missing_words(split.targets, kind, where)
    return splits, told


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
        for name, array in ((inputs_name, inputs), (targets_name, targets)):
            if not array.size:
                raise UserError(f"{where}: {name} {list(array.shape)} holds nothing")
        if targets.dtype.kind not in "fiubUS":
            raise UserError(
                f"{where}: {targets_name} must be numbers or words, not {described(targets)}; "
                f"write dates as numbers, such as days since the first, complex ones as two"
            )
        splits.append(Split(inputs.astype(np.float64), targets))
    return splits


def _wanted(there: list[str]) -> tuple[str, ...]:
    if "inputs" in there:
        return ("inputs", "targets")
    return ARRAYS


def _split(whole: Split, share: float, stratify: bool, where: str) -> list[Split]:
    """Rows for training and for testing."""
    count = len(whole.targets)
    size = round(share * count)
    if not 0 < size < count:
        raise UserError(f"{where}: data.test_share={share:g} of {count} rows leaves a split empty")
    is_test = np.zeros(count, dtype=bool)
    if stratify and _is_class_each(whole.targets):
        is_test[in_proportion(whole.targets, size)] = True
    else:
        is_test[_at_random(count, size)] = True
    if not is_test.any():
        raise UserError(
            f"{where}: no row is left for testing, since classes have one row each; where the "
            f"target is numbers, say data.kind=numbers"
        )
    train = _rows(whole, ~is_test)
    if _is_class_each(whole.targets) and len(np.setdiff1d(whole.targets, train.targets)):
        raise UserError(
            f"{where}: rows at random leave no training row to a class; say data.stratify=true"
        )
    return [train, _rows(whole, is_test)]


def _is_class_each(targets: np.ndarray) -> bool:
    """Whether each row has one class: targets int64 [N]."""
    return targets.ndim == 1 and targets.dtype == np.int64


def _at_random(rows: int, count: int) -> np.ndarray:
    """Which `count` of so many rows are drawn, in order."""
    order = draws_of(SPLIT).permutation(rows)
    return np.sort(order[:count])


def _some(split: Split, count: int) -> Split:
    if _is_class_each(split.targets):
        chosen = evenly(split.targets, count)
    else:
        chosen = _at_random(len(split.targets), count)
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
