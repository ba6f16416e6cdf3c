"""A user's table, sequences, and the sets that are made: read as they are, or refused in a line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from sgdtheory.data.examples import IGNORED, Examples
from sgdtheory.data.mnist1d import mnist1d
from sgdtheory.data.modular_addition import modular_addition
from sgdtheory.data.table import table
from sgdtheory.data.tokens import tokens
from sgdtheory.errors import UserError

DRAWS = np.random.default_rng(0)
NUMBERS = DRAWS.normal(size=(50, 3))
PRICES = NUMBERS @ [1.0, -2.0, 0.5] + 7.0
KINDS = np.array(["ant", "bee", "cat"])[np.arange(50) % 3]


SPLIT = {
    "train_inputs": NUMBERS[:40],
    "train_targets": PRICES[:40],
    "test_inputs": NUMBERS[40:],
    "test_targets": PRICES[40:],
}


@pytest.fixture
def csv(tmp_path: Path) -> Callable[..., Path]:
    """A table with these columns besides three features."""

    def written(name: str = "houses.csv", **columns: Any) -> Path:
        features = {f"x{i}": NUMBERS[:, i] for i in range(3)}
        frame = pl.DataFrame({**features, **columns})
        path = tmp_path / name
        frame.write_parquet(path) if path.suffix == ".parquet" else frame.write_csv(path)
        return path

    return written


def npz(folder: Path, **arrays: Any) -> Path:
    path = folder / "mine.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("name", ["houses.csv", "houses.parquet"])
def test_a_table_of_numbers(csv: Callable[..., Path], name: str) -> None:
    data = table(csv(name, price=PRICES))
    assert data.shape == (3,) and data.outputs == 1 and not data.has_classes
    assert (len(data.train_inputs), len(data.test_inputs)) == (40, 10)
    for train in (data.train_inputs, data.train_targets[:, None]):
        torch.testing.assert_close(train.mean(0), torch.zeros(train.shape[1]).double())
        torch.testing.assert_close(train.var(0, correction=0), torch.ones(train.shape[1]).double())
    # rows stay together: the price is the same linear map of the scaled features everywhere
    both = torch.cat([data.train_inputs, data.test_inputs])
    prices = torch.cat([data.train_targets, data.test_targets])
    ones = torch.ones(50, 1, dtype=torch.float64)
    fit = torch.linalg.lstsq(torch.cat([both, ones], 1), prices[:, None])
    left = torch.cat([both, ones], 1) @ fit.solution - prices[:, None]
    assert float(left.abs().max()) < 1e-12


def test_the_same_rows_are_for_testing_every_time(csv: Callable[..., Path]) -> None:
    first, second = (table(csv(price=PRICES)) for _ in range(2))
    assert torch.equal(first.test_inputs, second.test_inputs)


def test_words_are_classes(csv: Callable[..., Path]) -> None:
    data = table(csv(kind=KINDS), limit=12)
    assert data.outputs == 3 and data.train_targets.bincount().tolist() == [4, 4, 4]


def test_another_column_may_be_the_target(csv: Callable[..., Path]) -> None:
    data = table(csv(price=PRICES), target="x1")
    assert data.shape == (3,) and not data.has_classes


def test_arrays_with_and_without_a_split(tmp_path: Path) -> None:
    whole = table(npz(tmp_path, inputs=NUMBERS, targets=np.arange(50) % 3))
    assert whole.outputs == 3 and len(whole.test_inputs) == 10
    split = table(
        npz(
            tmp_path,
            train_inputs=NUMBERS[:30],
            train_targets=NUMBERS[:30, :2],
            test_inputs=NUMBERS[30:],
            test_targets=NUMBERS[30:, :2],
        ),
        scaling="none",
        target_scaling="none",
    )
    assert split.outputs == 2
    assert torch.equal(split.train_inputs, torch.from_numpy(NUMBERS[:30]))
    assert torch.equal(split.test_targets, torch.from_numpy(NUMBERS[30:, :2]))


@pytest.mark.parametrize(
    ("columns", "more", "words"),
    [
        ({"price": PRICES}, {"target": "prize"}, "has no column 'prize'; did you mean 'price'"),
        ({"kind": KINDS, "price": PRICES}, {}, "column 'kind' holds words"),
        ({"price": [None, *PRICES[1:]]}, {}, "column 'price' is empty in 1 rows, first in row 1"),
        (
            {"price": [np.nan, *PRICES[1:]]},
            {},
            "1 rows have targets that are no finite numbers, the first is row 1",
        ),
        ({"price": PRICES}, {"test_share": 1.0}, "leaves a split empty"),
        ({"price": PRICES}, {"kind": "classes", "test_share": 0.5}, "classes|target"),
        ({"kind": ["ant"] * 50}, {}, "nothing is to be learned"),
        ({"kind": KINDS}, {"kind": "numbers"}, "say data.kind=classes"),
    ],
)
def test_a_bad_table_is_refused(
    csv: Callable[..., Path], columns: dict[str, Any], more: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words) as raised:
        table(csv(**columns), **more)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"inputs": NUMBERS[0], "targets": PRICES}, r"inputs must be numbers \[N, d\]"),
        ({"inputs": NUMBERS, "targets": PRICES[:7]}, r"targets must be \[50\] or \[50, k\]"),
        ({"inputs": NUMBERS}, "'targets' is missing"),
        ({"x": NUMBERS, "y": PRICES}, "'train_inputs' is missing"),
        ({"inputs": NUMBERS.astype(str), "targets": PRICES}, "inputs must be numbers"),
        (
            {**SPLIT, "test_inputs": NUMBERS[40:, :1]},
            r"training features are \(3,\) but \(1,\) in the test set",
        ),
        (
            {**SPLIT, "train_targets": NUMBERS[:40], "test_targets": NUMBERS[40:, :1]},
            r"training targets are \(3,\) but \(1,\)",
        ),
        ({**SPLIT, "train_inputs": 1e300 * NUMBERS[:40]}, "features are too large to be scaled"),
    ],
)
def test_bad_arrays_are_refused(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        table(npz(tmp_path, **arrays))


@pytest.mark.parametrize("value", [0.1, 1e9 / 3, 2.0**62, 0.0])
def test_a_constant_column_is_zero_however_its_mean_is_rounded(
    tmp_path: Path, value: float
) -> None:
    train, test = NUMBERS[:40].copy(), NUMBERS[40:].copy()
    train[:, 1], test[:, 1] = value, value
    test[0, 1] += 2.0**12  # a change in the test part stays what it is
    data = table(npz(tmp_path, **{**SPLIT, "train_inputs": train, "test_inputs": test}))
    assert not data.train_inputs[:, 1].any() and not data.test_inputs[1:, 1].any()
    assert float(data.test_inputs[0, 1]) == pytest.approx(2.0**12)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.csv", "", "cannot be read"),
        ("x.csv", "0.5,1.5\n0.2,0\n", r"its first row is numbers \(0.5, 1.5, …\)"),
        ("x.csv", "a\n1\n", "has 1 columns"),
        ("x.parquet", "no parquet", "cannot be read"),
        ("x.xlsx", "", "a table is .npz, .csv or .parquet, not .xlsx"),
        ("x.npz", "PK", "not an .npz pack"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=words):
        table(tmp_path / name)
    with pytest.raises(UserError, match="no such file"):
        table(tmp_path / "nowhere.csv")


def rows_of(*, separator: str = ",", first: str = "", last: str = "") -> str:
    """The text of a table of 20 rows in three classes."""
    names = separator.join(["a", "b", "y"])
    rows = []
    for i, (a, b, _) in enumerate(NUMBERS[:20]):
        rows.append(separator.join([f"{a:.6f}", f"{b:.6f}", str(i % 3)]))
    text = "\n".join(rows)
    return f"{first or names}\n{text}\n{last}"


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
@pytest.mark.parametrize("begin", [0, 1])
def test_row_numbers_without_a_name_are_no_feature(tmp_path: Path, name: str, begin: int) -> None:
    whole = tmp_path / "whole.csv"
    whole.write_text(rows_of(), encoding="utf-8")
    names, *lines = rows_of().splitlines()
    numbered = "".join(f"{i},{line}\n" for i, line in enumerate(lines, begin))
    path = tmp_path / "numbered.csv"
    path.write_text(f"{name},{names}\n{numbered}", encoding="utf-8")
    data = table(path)
    assert torch.equal(data.train_inputs, table(whole).train_inputs)
    assert data.remarks == ("column 1, row numbers without a name, is left out",)
    path.write_text(path.read_text(encoding="utf-8").replace("\n7,", "\n70,"), encoding="utf-8")
    with pytest.raises(UserError, match=r"column 1 has no name \(it holds .* give it one"):
        table(path)


def test_a_class_of_a_row_is_for_training(tmp_path: Path) -> None:
    path = tmp_path / "rare.csv"
    path.write_text(rows_of(last="1,1.0,7\n"), encoding="utf-8")
    data = table(path)
    assert data.outputs == 4 and 3 in data.train_targets and 3 not in data.test_targets
    assert data.remarks == ("class 7: one row only, for training; none for testing",)
    path.write_text(rows_of(last="1,1.0,7\n2,1.0,7\n"), encoding="utf-8")
    assert set(table(path, test_share=0.5).train_targets.tolist()) == {0, 1, 2, 3}
    with pytest.raises(UserError, match=r"data\.limit=3 leaves no training row to some of 4"):
        table(path, limit=3)


@pytest.mark.parametrize("target", ["words", "more words"])
def test_a_target_of_rows_that_all_differ_is_told_to_be_numbers(
    tmp_path: Path, target: str
) -> None:
    path = tmp_path / "years.csv"
    rows = "".join(f"{a:.6f},{1900 + i}\n" for i, (a, _, _) in enumerate(NUMBERS))
    path.write_text(f"a,{target}\n{rows}", encoding="utf-8")
    with pytest.raises(UserError, match=r"say data\.kind=numbers"):
        table(path)
    assert not table(path, kind="numbers").has_classes


def whole(path: Path, values: list[int]) -> Path:
    """A table whose target are these whole numbers."""
    rows = "".join(f"{i / 7:.6f},{value}\n" for i, value in enumerate(values))
    path.write_text(f"a,y\n{rows}", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([i % 10 for i in range(40)], ""),
        ([0, 1, 2, 7] * 5, ""),
        ([-1, 1] * 20, ""),
        ([3 + i % 6 for i in range(40)], "(3 … 8) are taken for 6 classes"),
        ([i % 11 for i in range(110)], "(0 … 10) are taken for 11 classes"),
        ([1000 * (i % 12) for i in range(240)], "(0 … 11000) are taken for 12 classes"),
    ],
)
def test_whole_numbers_that_are_taken_for_classes_are_told(
    tmp_path: Path, values: list[int], told: str
) -> None:
    data = table(whole(tmp_path / "y.csv", values))
    assert data.has_classes and data.outputs == len(set(values))
    remarks = [remark for remark in data.remarks if "taken for" in remark]
    assert len(remarks) == bool(told)
    for remark in remarks:
        assert told in remark and "data.kind=numbers" in remark
    assert "taken for" not in " ".join(table(tmp_path / "y.csv", kind="classes").remarks)


@pytest.mark.parametrize(
    "values",
    [
        [i % 12 for i in range(119)],  # twelve values are more than a tenth of the rows
        [5, 5, 5, 5, 6, 7, 8],  # three of four values in one row
        [1000 * (i * i % 101) for i in range(120)],  # prices
    ],
)
def test_whole_numbers_that_look_like_numbers_are_refused(
    tmp_path: Path, values: list[int]
) -> None:
    path = whole(tmp_path / "y.csv", values)
    arrays = npz(tmp_path, inputs=np.arange(len(values))[:, None], targets=np.array(values))
    for file in (path, arrays):
        with pytest.raises(UserError, match=r"data\.kind=numbers, or data\.kind=class") as raised:
            table(file)
        assert len(str(raised.value).splitlines()) == 1
        assert not table(file, kind="numbers").has_classes
    assert table(path, kind="classes").outputs == len(set(values))


@pytest.mark.parametrize(("separator", "word"), [(";", "semicolons"), ("\t", "tabs")])
def test_other_separators_are_read_where_the_names_have_no_comma(
    tmp_path: Path, separator: str, word: str
) -> None:
    path, plain = tmp_path / "x.csv", tmp_path / "plain.csv"
    path.write_text(rows_of(separator=separator), encoding="utf-8")
    plain.write_text(rows_of(), encoding="utf-8")
    data = table(path)
    assert torch.equal(data.train_inputs, table(plain).train_inputs)
    assert data.remarks == (f"fields are separated by {word}",)


def test_blanks_about_names_and_values_are_none_of_theirs(tmp_path: Path) -> None:
    path, plain = tmp_path / "x.csv", tmp_path / "plain.csv"
    path.write_text(rows_of(separator=", "), encoding="utf-8")
    plain.write_text(rows_of(), encoding="utf-8")
    data = table(path, target="y")
    assert torch.equal(data.train_inputs, table(plain).train_inputs) and data.has_classes
    path.write_text(rows_of(separator=", ", first="a, a, y"), encoding="utf-8")
    with pytest.raises(UserError, match="two columns are called 'a'"):
        table(path)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"last": "NA,1,0\n"}, "column 'a' has a value that is no number: 'NA' in row 21; write"),
        ({"last": "1,?,0\n?,?,1\n"}, "column 'a' has a value that is no number: '.' in row 22"),
        ({"last": "1,?,0\n1,x,1\n"}, "'b' has values that are no numbers in 2 rows, first '.'"),
        ({"last": "1,1,NA\n"}, "'y' has a value .* 'NA' in row 21; .* say data.kind=classes"),
        ({"last": "nan,1,0\n"}, "no finite numbers, the first is row 21"),
        ({"last": '"1,5",1,0\n'}, r"'a' has commas in its numbers \('1,5' in row 21\): decimals"),
        ({"separator": ";", "last": "1,5;1;0\n"}, "'a' has commas in its numbers"),
        ({"last": "1,5,1,0\n"}, "row 21 has 4 fields, but the first line names 3 columns"),
        ({"first": "# mine"}, "row 1 has 3 fields, but the first line names 1 columns"),
        ({"first": ",b,y"}, r"column 1 has no name \(it holds 0.12573, "),
    ],
)
def test_a_value_that_is_no_number_is_named(
    tmp_path: Path, more: dict[str, str], words: str
) -> None:
    path = tmp_path / "x.csv"
    path.write_text(rows_of(**more), encoding="utf-8")
    with pytest.raises(UserError, match=words) as raised:
        table(path)
    assert len(str(raised.value).splitlines()) == 1


def test_a_table_in_utf_16_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(rows_of(), encoding="utf-16")
    with pytest.raises(UserError, match="save it in UTF-8"):
        table(path)


def test_a_text_is_its_characters(tmp_path: Path) -> None:
    text = "the cat sat on the mat – " * 40
    (tmp_path / "book.txt").write_text(text, encoding="utf-8")
    data = tokens(tmp_path / "book.txt", window=9)
    known = sorted(set(text))
    assert data.outputs == len(known) and data.shape == (9,)
    first = "".join(known[k] for k in data.train_inputs[0].tolist())
    following = "".join(known[k] for k in data.train_targets[0].tolist())
    assert text.startswith(first) and text[1:].startswith(following)
    assert torch.equal(data.train_inputs[:, 1:].long(), data.train_targets[:, :-1])
    assert data.prepared(data.train_inputs, torch.float32).dtype == torch.int64
    last = "".join(known[k] for k in data.test_inputs[-1].tolist())
    assert last in text[round(0.9 * len(text)) :]


def test_sequences_of_ones_own(tmp_path: Path) -> None:
    train = np.arange(40).reshape(4, 10) % 300
    data = tokens(npz(tmp_path, train=train + 250, test=train[:2]), vocabulary=300)
    assert data.outputs == 300 and data.train_inputs.dtype == torch.int32
    assert torch.equal(data.train_targets, torch.from_numpy(train[:, 1:] + 250))
    long = tokens(npz(tmp_path, tokens=np.arange(1000) % 7), window=4, limit=5)
    assert long.train_inputs.shape == (5, 4) and long.outputs == 7


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"tokens": np.arange(50.0)}, r"tokens must be integers \[L\], not float64"),
        ({"tokens": np.arange(50)[:, None]}, r"tokens must be integers \[L\]"),
        ({"tokens": -np.arange(900)}, "codes are 0, 1"),
        ({"tokens": np.arange(50)}, "no window of 64"),
        ({"train": np.zeros((3, 1), int), "test": np.zeros((3, 5), int)}, "no sequence of 2"),
        ({"train": np.zeros((3, 4), int), "test": np.zeros((3, 5), int)}, r"\(3,\) but \(4,\)"),
        ({"train": np.zeros((3, 4), int)}, "'test' is missing"),
        ({"tokens": np.arange(900), "test": np.zeros((3, 5), int)}, "and test beside it; leave"),
        ({"tokens": np.array([2**63 + 3] * 99, np.uint64)}, "holds 9223372036854775811; codes go"),
        ({"train": np.array([[0, 2**31]]), "test": np.zeros((3, 5), int)}, "holds 2147483648;"),
    ],
)
def test_bad_sequences_are_refused(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        tokens(npz(tmp_path, **arrays))
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="no text in UTF-8"):
        tokens(tmp_path / "bytes.txt")


def test_a_vocabulary_that_ends_too_soon_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds code 6, but data\.vocabulary=5"):
        tokens(npz(tmp_path, tokens=np.arange(1000) % 7), window=4, vocabulary=5)


def test_mnist1d_is_drawn_by_its_recipe() -> None:
    data = mnist1d(2000, draw=3)
    assert data.train_inputs.shape == (1600, 40) and data.outputs == 10
    both = torch.cat([data.train_inputs, data.test_inputs])
    assert float(both.mean()) == pytest.approx(0, abs=1e-5)
    assert float(both.std()) == pytest.approx(1, abs=1e-3)
    assert torch.equal(mnist1d(2000, draw=3).test_inputs, data.test_inputs)
    assert not torch.equal(mnist1d(2000, draw=4).test_inputs, data.test_inputs)
    labels = torch.cat([data.train_targets, data.test_targets])
    assert labels.bincount().tolist() == [200] * 10
    # told apart by a least-squares classifier far better than by chance, and far from perfectly:
    # Greydanus & Kobak 2020, Table 1, have 32 % for logistic regression
    ones = torch.ones(len(both), 1)
    x = torch.cat([both, ones], 1)
    y = torch.nn.functional.one_hot(data.train_targets, 10).float()
    weights = torch.linalg.lstsq(x[:1600], y).solution
    right = ((x[1600:] @ weights).argmax(1) == data.test_targets).float().mean()
    assert 0.2 < float(right) < 0.5


@pytest.mark.parametrize("p", [5, 23])
def test_sums_modulo_p_are_all_pairs(p: int) -> None:
    data = modular_addition(p)
    assert data.shape == (3,) and data.outputs == p + 1
    pairs = torch.cat([data.train_inputs, data.test_inputs])
    targets = torch.cat([data.train_targets, data.test_targets])
    assert len({tuple(pair) for pair in pairs[:, :2].tolist()}) == p * p
    assert bool((pairs[:, 2] == p).all()) and bool((targets[:, :2] == IGNORED).all())
    assert torch.equal(targets[:, 2], (pairs[:, 0] + pairs[:, 1]) % p)
    assert len(data.train_inputs) == round(p * p / 2)
    hot = modular_addition(p, form="one_hot")
    first, second = hot.train_inputs.view(-1, 2, p).argmax(2).unbind(1)
    assert hot.outputs == p and torch.equal(hot.train_targets, (first + second) % p)


def test_a_split_without_sums_is_refused() -> None:
    with pytest.raises(UserError, match="leaves a split empty"):
        modular_addition(5, train_share=0.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train_inputs": torch.ones(5, 2)}, "5 inputs but 4 targets"),
        ({"train_inputs": torch.ones(4, 3)}, r"training inputs are \(3,\) but \(2,\)"),
        ({"train_inputs": torch.ones(4, 2).double()}, "are float64 but float32"),
        ({"train_targets": torch.tensor([0, 1, 2, 3])}, "lie in 0 … 3, but there are 3 classes"),
        (
            {"train_targets": torch.full((4,), IGNORED)},
            "4 examples have no targets that count",
        ),
        (
            {"train_targets": torch.tensor([0, IGNORED, 1, 2])},
            "1 examples have no targets that count .* the first is number 1; leave them out",
        ),
        ({"train_inputs": torch.ones(4, 2).cfloat()}, "inputs are complex"),
        ({"test_inputs": torch.tensor([[1.0, torch.inf]] * 4)}, "4 have no finite numbers"),
        ({"train_targets": torch.zeros(4, dtype=torch.int32)}, "must be int64 or floating"),
    ],
)
def test_examples_that_do_not_fit_are_refused(change: dict[str, Any], words: str) -> None:
    inputs, targets = torch.ones(4, 2), torch.tensor([0, 1, 2, 0])
    parts = {
        "train_inputs": inputs,
        "train_targets": targets,
        "test_inputs": inputs,
        "test_targets": targets,
    }
    with pytest.raises(UserError, match=words):
        Examples(**{**parts, **change}, outputs=3, name="mine")
