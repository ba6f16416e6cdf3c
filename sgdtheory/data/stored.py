"""Examples of any kind in a file of tensors: what a run from Python keeps, or anybody writes."""

import torch
from torch import Tensor

from sgdtheory.annotations import ContentPath, PositiveInt
from sgdtheory.data.examples import Examples
from sgdtheory.data.npz import as_int64
from sgdtheory.errors import UserError
from sgdtheory.runs.memory import refuse_what_does_not_fit
from sgdtheory.runs.tensors import Tensors, unpacked

TRAIN = ("train_inputs", "train_targets")
TEST = ("test_inputs", "test_targets")
NO_TEST = "no test set was given: what is called test is the training set"


def stored(
    path: ContentPath, outputs: PositiveInt | None = None, name: str = "own data"
) -> Examples:
    """Examples of a `.safetensors` file: `train_inputs` [N, …], `train_targets` [N, …], and
    `test_inputs`, `test_targets` likewise, or none, and then the training set is scored twice.

    Integer targets are classes, floating ones numbers. `outputs`: how many numbers a network gives
    for one target (None: the largest class and one, or the last axis of numbers).
    """
    where = f"data.path={path}"
    refuse_what_does_not_fit(path.stat().st_size, where)
    try:
        tensors = unpacked(path.read_bytes())
    except (ValueError, OSError) as fault:
        raise UserError(f"{where}: no file of safetensors, or a damaged one ({fault})") from None
    train = _pair(tensors, TRAIN, where)
    has_test = any(key in tensors for key in TEST)
    test = train
    told: tuple[str, ...] = (NO_TEST,)
    if has_test:
        test = _pair(tensors, TEST, where)
        told = ()
    known = outputs or outputs_for(train[1], test[1])
    return Examples(*train, *test, known, name, told)


def outputs_for(train: Tensor, test: Tensor) -> int:
    """How many numbers a network gives for a target of [N, …]."""
    if not train.is_floating_point():
        largest = max(train.max(), test.max())
        return int(largest) + 1
    if train.ndim == 1:
        return 1
    return train.shape[-1]


def tensors_of(data: Examples) -> Tensors:
    """Examples as such a file holds them: [N, …] each."""
    tensors = {"train_inputs": data.train_inputs, "train_targets": data.train_targets}
    is_one_set = data.test_inputs is data.train_inputs and data.test_targets is data.train_targets
    if not is_one_set:
        tensors |= {"test_inputs": data.test_inputs, "test_targets": data.test_targets}
    return tensors


def _pair(tensors: Tensors, names: tuple[str, str], where: str) -> tuple[Tensor, Tensor]:
    for name in names:
        if name not in tensors:
            there = ", ".join(sorted(tensors)) or "nothing"
            raise UserError(f"{where}: {name} is missing (there are: {there})")
    inputs, targets = (tensors[name] for name in names)
    if not targets.is_floating_point():
        targets = torch.from_numpy(as_int64(targets.numpy(), f"{where}: {names[1]}"))
    return inputs, targets
