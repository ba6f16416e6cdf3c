"""What a table's targets are: split in proportion, taken for what they are, or refused in a line."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from sgdtheory.data.draw import evenly, in_proportion
from sgdtheory.data.images import Images
from sgdtheory.data.table import table
from sgdtheory.errors import UserError
from sgdtheory.losses.cross_entropy import CrossEntropy

NUMBERS = np.random.default_rng(0).normal(size=(200, 2))


def npz(folder: Path, **arrays: Any) -> Path:
    path = folder / "mine.npz"
    np.savez(path, **arrays)
    return path


def parquet(folder: Path, rows: int = 40, **columns: Any) -> Path:
    path = folder / "mine.parquet"
    pl.DataFrame({"x": NUMBERS[:rows, 0], **columns}).write_parquet(path)
    return path


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.csv"
    path.write_text(text, encoding="utf-8")
    return path


def refused(path: Path, words: str, **more: Any) -> None:
    with pytest.raises(UserError, match=words) as raised:
        table(path, **more)
    assert len(str(raised.value).splitlines()) == 1


# the split


@pytest.mark.parametrize("rare", [2, 7, 50, 100])
def test_a_split_has_the_shares_of_the_classes(tmp_path: Path, rare: int) -> None:
    targets = np.random.default_rng(1).permutation(np.arange(1000) < rare).astype(int)
    data = table(npz(tmp_path, inputs=np.arange(1000.0)[:, None], targets=targets))
    tested = max(round(0.2 * rare), 1)  # 10 and 20 exactly; of 2 one, where 0.4 are its share
    assert data.test_targets.bincount().tolist() == [200 - tested, tested]
    assert data.train_targets.bincount().tolist() == [800 - rare + tested, rare - tested]


@pytest.mark.parametrize("seed", range(20))
def test_a_share_is_that_of_largest_remainders(seed: int) -> None:
    """Against the definition: quotas count·N_k/N rounded to neighbours, the sum kept, one of each
    class at least on both sides."""
    draws = np.random.default_rng(seed)
    sizes = draws.integers(2, 40, 6)
    labels = draws.permutation(np.repeat(np.arange(6), sizes))
    count = int(draws.integers(6, len(labels) - 6))
    rows = in_proportion(labels, count)
    assert len(set(rows.tolist())) == len(rows) == count and (np.diff(rows) > 0).all()
    given = np.bincount(labels[rows], minlength=6)
    assert (given >= 1).all() and (given <= sizes - 1).all()
    quotas = count * sizes / len(labels)
    free = (quotas >= 1) & (quotas <= sizes - 1)
    if free.all():
        order = np.argsort(np.floor(quotas) - quotas, kind="stable")
        expected = np.floor(quotas).astype(int)
        expected[order[: count - expected.sum()]] += 1
        clear = np.abs(np.diff(np.sort(quotas % 1))).min() > 1e-9  # equal remainders take turns
        assert not clear or given.tolist() == expected.tolist()


def test_classes_of_one_size_are_split_as_an_even_draw_splits_them() -> None:
    labels = np.random.default_rng(2).permutation(np.arange(90) % 3)
    for count in (7, 18, 45):
        assert np.array_equal(in_proportion(labels, count), evenly(labels, count))


def test_more_classes_than_test_rows_leave_some_untested_and_say_so(tmp_path: Path) -> None:
    data = table(npz(tmp_path, inputs=NUMBERS[:40], targets=np.arange(40) % 10))
    assert len(data.test_targets) == 8 and len(set(data.train_targets.tolist())) == 10
    assert any("and 1 more: none for testing" in remark for remark in data.remarks)


def test_rows_at_random_are_those_of_a_table_of_numbers(tmp_path: Path) -> None:
    classes = (np.arange(200) < 20).astype(int)
    path = npz(tmp_path, inputs=np.arange(200.0)[:, None], targets=classes)
    at_random = table(path, stratify=False, scaling="none")
    numbers = table(path, kind="numbers", scaling="none")
    assert torch.equal(at_random.test_inputs, numbers.test_inputs)
    assert not torch.equal(at_random.test_inputs, table(path, scaling="none").test_inputs)
    path = npz(tmp_path, inputs=NUMBERS[:4], targets=np.array(["ant", "bee", "cat", "dog"]))
    refused(path, "no training row to a class; say data.stratify=true", stratify=False)


def test_a_limit_that_makes_shares_unlike_is_told(tmp_path: Path) -> None:
    targets = (np.arange(1000) < 100).astype(int)
    path = npz(tmp_path, inputs=np.arange(1000.0)[:, None], targets=targets)
    data = table(path, limit=200)
    assert data.train_targets.bincount().tolist() == [120, 80]
    assert data.test_targets.bincount().tolist() == [180, 20]
    assert "class 0 60 % of the training set, but 90 % of the test set" in data.remarks[0]
    assert not table(path).remarks and not table(path, limit=40).remarks
    pixels = np.arange(1200, dtype=np.uint16).view(np.uint8).reshape(1200, 1, 1, 2)
    labels = (np.arange(1000) < 100).astype(int)
    images = Images.from_arrays(
        (pixels[:1000], labels), (pixels[1000:], np.arange(200) % 10 // 9), 2, "mine", limit=200
    )
    assert "leaves class 0 50 % of the training set, but 90 %" in images.told[0]


# columns


@pytest.mark.parametrize(
    ("head", "name"), [("y,a,y", "y"), ("a,a,y", "a"), ("a, a ,y", "a"), ('"a",b,a', "a")]
)
def test_a_name_that_comes_twice_is_refused(tmp_path: Path, head: str, name: str) -> None:
    rows = "".join(f"{i % 2},{i}.5,{i % 2}\n" for i in range(20))
    for text in (f"{head}\n{rows}", f"\ufeff{head}\r\n{rows}", f"\n{head}\n{rows}"):
        refused(written(tmp_path, text), f"two columns are called '{name}'")
    semicolons = f"{head}\n{rows}".replace(",", ";")
    refused(written(tmp_path, semicolons), f"two columns are called '{name}'")


def test_a_row_of_equal_numbers_is_no_row_of_names(tmp_path: Path) -> None:
    refused(written(tmp_path, "1,1,0\n2,3,1\n"), r"its first row is numbers \(1, 1, 0")


def test_decimals_are_numbers(tmp_path: Path) -> None:
    prices = [Decimal(i % 18) / 4 for i in range(200)]
    whole = [Decimal(i % 3) for i in range(200)]
    frame = {"price": pl.Series(prices, dtype=pl.Decimal(10, 2))}
    data = table(parquet(tmp_path, 200, **frame), target_scaling="none")
    assert not data.has_classes
    found = torch.cat([data.train_targets, data.test_targets]).sort().values
    assert found.tolist() == sorted(map(float, prices))  # quarters are exact
    assert table(tmp_path / "mine.parquet", target="x").shape == (1,)  # as a feature too
    frame = {"label": pl.Series(whole, dtype=pl.Decimal(38, 0))}
    assert table(parquet(tmp_path, 200, **frame)).outputs == 3  # whole numbers, as in a .csv


DAYS = [date(2024, 1, 1) + timedelta(i % 4) for i in range(40)]
TIMES = [datetime(2024, 1, 1, i % 4) for i in range(40)]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (DAYS, r"dates or times \(2024-01-01\): write them as numbers"),
        (TIMES, "dates or times"),
        ([timedelta(i) for i in range(40)], "dates or times"),
        ([[1.0, 2.0]] * 40, r"more than one value a row \(List\(Float64\)\): give each a column"),
        (pl.Series([[1.0, 2.0]] * 40, dtype=pl.Array(pl.Float64, 2)), "more than one value a row"),
        ([{"u": 1.0, "v": 2.0}] * 40, "more than one value a row"),
    ],
)
def test_what_is_neither_numbers_nor_words_is_refused(
    tmp_path: Path, values: Any, words: str
) -> None:
    for kind in ("auto", "numbers", "classes"):
        refused(parquet(tmp_path, y=values), f"column 'y' holds {words}", kind=kind)
    refused(parquet(tmp_path, y=values), f"column 'y' holds {words}", target="x")


def test_words_that_are_dates_are_no_classes_unless_said(tmp_path: Path) -> None:
    rows = "".join(f"{i}.5,{day}\n" for i, day in enumerate(DAYS))
    path = written(tmp_path, f"a,day\n{rows}")
    refused(path, r"holds dates \('2024-01-01'\): .* or say data.kind=classes")
    assert table(path, kind="classes").outputs == 4


def test_whole_numbers_of_128_bits(tmp_path: Path) -> None:
    large = [2**64 + 2**60 * (i % 2) for i in range(40)]  # exact in float64
    rows = "".join(f"{x},{i % 2}\n" for i, x in enumerate(large))
    path = written(tmp_path, f"id,y\n{rows}")
    if not hasattr(pl, "UInt128"):  # an older Polars reads none from text
        refused(path, "could not parse `18446744073709551616`")
        return
    data = table(path, scaling="none")
    assert set(data.train_inputs[:, 0].tolist()) == set(map(float, large))
    rows = "".join(f"{i % 7},{x}\n" for i, x in enumerate(large))
    path = written(tmp_path, f"a,id\n{rows}")
    refused(path, r"whole numbers beyond 64 bits \(18446744073709551616\); say data.kind=numbers")
    assert table(path, kind="classes").outputs == 2 and not table(path, kind="numbers").has_classes
    narrow = pl.Series([i % 3 for i in range(40)], dtype=pl.Int128)
    assert table(parquet(tmp_path, y=narrow)).outputs == 3


# words for no value


@pytest.mark.parametrize("word", ["NA", "null", "None", "nan", "N/A"])
def test_words_for_no_value_are_no_class_unless_said(tmp_path: Path, word: str) -> None:
    words = np.array(["yes", "no", word, "no"])[np.arange(40) % 4]
    rows = "".join(f"{i}.5,{y}\n" for i, y in enumerate(words))
    for path in (
        written(tmp_path, f"a,y\n{rows}"),
        parquet(tmp_path, y=words),
        npz(tmp_path, inputs=NUMBERS[:40], targets=words),
        npz(tmp_path, inputs=NUMBERS[:40], targets=words.astype(bytes)),
    ):
        refused(path, rf"the target is '{word}' in 10 of 40 rows, first in row 3: .*=classes")
        data = table(path, kind="classes")
        assert data.outputs == 3 and "taken for a class" in data.remarks[0]


def test_an_empty_word_is_no_class_whatever_is_said(tmp_path: Path) -> None:
    words = np.array(["yes", "no", " "])[np.arange(42) % 3]
    for kind in ("auto", "classes"):
        path = npz(tmp_path, inputs=NUMBERS[:42], targets=words)
        refused(path, "the target is '' in 14 of 42 rows, first in row 3; take", kind=kind)


# arrays


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_split_is_refused(tmp_path: Path, split: str) -> None:
    arrays: dict[str, Any] = {}
    for name in ("train", "test"):
        rows = 0 if name == split else 20
        arrays[f"{name}_inputs"] = NUMBERS[:rows]
        arrays[f"{name}_targets"] = NUMBERS[:rows, 0]
    refused(npz(tmp_path, **arrays), rf"{split}_inputs \[0, 2\] holds nothing")
    path = npz(tmp_path, inputs=NUMBERS, targets=NUMBERS[:, :0])
    refused(path, r"targets \[200, 0\] holds nothing")


@pytest.mark.parametrize("kind", ["M8[D]", "m8[s]", "c16"])
def test_arrays_of_dates_are_refused(tmp_path: Path, kind: str) -> None:
    targets = np.arange(200).astype(kind)
    refused(npz(tmp_path, inputs=NUMBERS, targets=targets), "targets must be numbers or words")


@pytest.mark.parametrize(
    "targets", [np.arange(200) % 2 / 1.0, (np.arange(200) % 2)[:, None], np.arange(200) % 3 / 1.0]
)
def test_classes_that_are_written_as_numbers(tmp_path: Path, targets: np.ndarray) -> None:
    path = npz(tmp_path, inputs=NUMBERS, targets=targets)
    data = table(path)
    with pytest.raises(UserError, match=r"where the numbers name classes, .* data\.kind=classes"):
        CrossEntropy().adapted_to(torch.zeros(2, 1), data)
    data = table(path, kind="classes")
    assert data.train_targets.ndim == 1 and data.outputs == len(np.unique(targets))


def test_values_are_shown_as_they_are_written(tmp_path: Path) -> None:
    for value, word in ((0, "0"), ("ant", "'ant'"), (b"ant", "'ant'"), (True, "True")):
        path = npz(tmp_path, inputs=NUMBERS, targets=np.full(200, value))
        refused(path, f"all targets are {word}, and nothing is to be learned")


def test_numbers_that_are_all_alike_are_told(tmp_path: Path) -> None:
    data = table(npz(tmp_path, inputs=NUMBERS, targets=np.full(200, 3.5)))
    (remark,) = data.remarks
    assert remark == "all training targets are 3.5: there is nothing to be learned of them"
    both = np.stack([NUMBERS[:, 0], np.full(200, 2.0)], 1)
    (remark,) = table(npz(tmp_path, inputs=NUMBERS, targets=both)).remarks
    assert remark.startswith("number 2 of the training targets is 2 in all rows")
