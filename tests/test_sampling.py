"""The indices of a mini-batch: uniform, distinct where they have to be, and a pure function of
(seed, step)."""

from itertools import islice

import pytest
import torch
from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.optim.sampling import Sampling, distinct, indices
from sgdtheory.rng import stream

CPU = torch.device("cpu")


def steps_of(
    sampling: Sampling, count: int, points: int, size: int, first: int, number: int, seed: int = 0
) -> Tensor:
    """Indices [S, P, b] of `number` steps from step `first` on."""
    rows: list[Tensor] = []
    for block, begins in indices(sampling, count, points, size, first, seed, CPU):
        rows += list(block[max(0, first - begins) :])
        if len(rows) >= number:
            return torch.stack(rows[:number])
    raise AssertionError


@pytest.mark.parametrize("sampling", ["iid", "without_replacement", "epoch"])
def test_step_k_does_not_depend_on_where_one_begins(
    sampling: Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "sgdtheory.optim.sampling.BLOCK_ELEMENTS", 64
    )  # several blocks in few steps
    whole = steps_of(sampling, 50, 3, 4, 0, 40)
    for first in (1, 5, 12, 13, 39):
        assert torch.equal(steps_of(sampling, 50, 3, 4, first, 40 - first), whole[first:])


@pytest.mark.parametrize("sampling", ["iid", "without_replacement", "epoch"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (32, 8), (1, 200)])
def test_of_fewer_steps_the_beginning_is_drawn(sampling: Sampling, shape: tuple[int, int]) -> None:
    """The same numbers, and with independent draws no more of them than there are steps."""
    points, size = shape
    whole, _ = next(indices(sampling, 300, points, size, 0, 0, CPU))
    for until in (1, 2, 7, 10**9):
        drawn, _ = next(indices(sampling, 300, points, size, 0, 0, CPU, until))
        steps = min(until, len(whole))
        assert torch.equal(drawn[:steps], whole[:steps])
        if sampling == "iid":
            assert len(drawn) == steps


@pytest.mark.parametrize("sampling", ["iid", "without_replacement", "epoch"])
def test_every_example_is_drawn_equally_often(sampling: Sampling) -> None:
    count, points, size, number = 20, 4, 5, 2000
    drawn = steps_of(sampling, count, points, size, 0, number)
    frequency = torch.bincount(drawn.flatten(), minlength=count).double() / drawn.numel()
    error = (
        1 / count * (1 - 1 / count) / drawn.numel()
    ) ** 0.5  # of an i.i.d. draw; the others are below it
    assert ((frequency - 1 / count).abs() < 5 * error).all()


@pytest.mark.parametrize("size", [1, 3, 8, 30])  # Floyd's method, then sorted keys
def test_distinct_draws_are_uniform_subsets_in_random_order(size: int) -> None:
    count, rows = 30, 20_000
    drawn = distinct(count, rows, size, stream(0, "test"))
    assert all(len(set(row)) == size for row in drawn[:200].tolist())
    for position in {0, size - 1}:
        frequency = torch.bincount(drawn[:, position], minlength=count).double() / rows
        assert ((frequency - 1 / count).abs() < 5 * (1 / count / rows) ** 0.5).all()
    if 1 < size < count:  # every pair equally often together
        together = ((drawn == 0).any(1) & (drawn == count - 1).any(1)).double().mean()
        expected = size * (size - 1) / (count * (count - 1))
        assert abs(float(together) - expected) < 5 * (expected / rows) ** 0.5


def test_floyd_without_its_second_branch_would_be_seen() -> None:
    """The contract above is able to fail: draws that repeat are not distinct."""
    drawn = torch.randint(30, (200, 8), generator=stream(0, "test"))
    assert not all(len(set(row)) == 8 for row in drawn.tolist())


def test_an_epoch_shows_every_example_once() -> None:
    first = next(indices("epoch", 23, 2, 5, 0, 0, CPU))[0]  # 4 batches of 5, 3 left out
    assert first.shape == (4, 2, 5)
    for point in range(2):
        assert len(set(first[:, point].flatten().tolist())) == 20
    assert not torch.equal(first[:, 0], first[:, 1])  # every row walks through its own permutation
    blocks = [block for block, _ in islice(indices("epoch", 23, 2, 5, 0, 0, CPU), 2)]
    assert not torch.equal(*blocks)


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(UserError, match=r"sgd\.batch_size=9 is more than the 8 examples"):
        next(indices("iid", 8, 1, 9, 0, 0, CPU))
