"""The embedded digits: sizes, values, and a split that never changes."""

from hashlib import sha256

import pytest
import torch

from sgdtheory.data.digits import digits
from sgdtheory.errors import UserError


def test_sizes_and_values() -> None:
    images = digits()
    assert (images.shape, images.count, len(images.test_targets), images.classes) == (
        (1, 8, 8),
        1437,
        360,
        10,
    )
    levels = torch.cat([images.train_inputs, images.test_inputs]).unique()
    assert levels.tolist() == [round(level * 255 / 16) for level in range(17)]


def test_the_split_is_stratified() -> None:
    images = digits()
    train, test = (torch.bincount(labels) for labels in (images.train_targets, images.test_targets))
    assert ((test - (train + test) * 360 / 1797).abs() < 1.01).all()


def test_the_split_is_the_one_that_published_numbers_refer_to() -> None:
    assert sha256(digits().test_inputs.numpy().tobytes()).hexdigest()[:16] == "a1f1407cd03809c9"


def test_no_example_is_lost_or_doubled() -> None:
    from sklearn.datasets import load_digits

    images = digits(test_share=0.3)
    found = (
        torch.cat([images.train_inputs, images.test_inputs]).flatten(1).long().sum(1).sort().values
    )
    expected = (
        torch.from_numpy(load_digits().images)
        .mul(255 / 16)
        .round()
        .long()
        .flatten(1)
        .sum(1)
        .sort()
        .values
    )
    assert torch.equal(found, expected)


def test_without_the_file_they_are_scikit_learns_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from_file = digits()
    monkeypatch.setattr("sgdtheory.data.digits.FILE", "sklearn/elsewhere.csv.gz")
    for name in ("train_inputs", "train_targets", "test_inputs", "test_targets"):
        assert torch.equal(getattr(digits(), name), getattr(from_file, name))


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(UserError, match="test has no images"):
        digits(test_share=0.0)
    with pytest.raises(UserError, match="train has no images"):
        digits(test_share=1.0)


def test_a_limit_is_even_over_the_digits() -> None:
    few = digits(limit=25)
    for labels in (few.train_targets, few.test_targets):
        assert (
            labels.bincount(minlength=10).min() >= 2
            and labels.bincount(minlength=10).max() <= 3
            and len(labels) == 25
        )
    assert digits().remarks == few.remarks == ()
