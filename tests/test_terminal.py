"""What others wrote, on a terminal, in a shell, in a spreadsheet: text, one command, a cell."""

import csv
import io
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgdtheory.report.figures.table import csv_text
from sgdtheory.report.stdio import harmless, paste, pasted, say


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain η ∇ 🦆 é", "plain η ∇ 🦆 é"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\rb\bc\x07", r"a\rb\x08c\x07"),
        ("\u202egnp.exe\u2066", r"\u202egnp.exe\u2066"),
        ("\x9b1m\ufeff", r"\x9b1m\ufeff"),
        ("two\nlines", "two\nlines"),
        ("\u2028", r"\u2028"),
        ("क्\u200dष", "क्\u200dष"),
        ("\udce9", "\udce9"),
        (3, "3"),
    ],
)
def test_what_would_command_a_terminal_is_spelled(text: Any, shown: str) -> None:
    assert harmless(text) == shown


def test_all_that_is_said_goes_through_it(capsys: pytest.CaptureFixture[str]) -> None:
    say("\x1b[31mred\u202e")
    assert capsys.readouterr().err == "\\x1b[31mred\\u202e\n"


WORDS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8),
    min_size=1,
    max_size=4,
)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(words=WORDS)
def test_a_shell_reads_the_same_words(words: list[str]) -> None:
    line = paste(["printf", "%s\\0", *words])
    assert harmless(line) == line and "\n" not in line
    done = subprocess.run(
        ["bash", "-c", line.encode()], capture_output=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert done.stdout.decode().split("\0")[:-1] == words


@pytest.mark.parametrize(
    ("line", "again"),
    [
        ("sgdtheory train minima=2", "sgdtheory train minima=2"),
        ("sgdtheory train 'minima=[a,b]'", "sgdtheory train 'minima=[a,b]'"),
        ("sgdtheory train; rm -rf ~ $(x)", "sgdtheory 'train;' rm -rf '~' '$(x)'"),
        ("rm -rf ~", ""),
        ("sgdtheory 'train", ""),
        ("", ""),
        (None, ""),
        (["sgdtheory"], ""),
    ],
)
def test_a_kept_command_is_one_command(line: Any, again: str) -> None:
    assert pasted(line) == again


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\n=1", " =1", "＝1", "=cmd|' /C calc'!A0"]
)
def test_text_in_a_table_is_no_formula(text: str) -> None:
    rows = list(csv.reader(io.StringIO(csv_text([{"name": text, text: 1.0}]), newline="")))
    assert rows == [["name", f"'{text}"], [f"'{text}", "1.0"]]
    assert csv_text([{"name": "\t=1\r=2"}]) == "name\n\\t=1\\r=2\n"


def test_numbers_in_a_table_stay_numbers() -> None:
    row = {
        "a": -1.5,
        "b": -3,
        "c": None,
        "d": True,
        "e": [0, 1],
        "f": "0-1",
        "g": "fine – text",
        "h": [-1.0, "x", 2.0],
    }
    assert (
        csv_text([row])
        == 'a,b,c,d,e,f,g,h\n-1.5,-3,,true,0-1,0-1,fine – text,"[-1.0, ""x"", 2.0]"\n'
    )
