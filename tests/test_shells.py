"""The command lines of README and of `--help`, as zsh reads them, in a directory where there is
what they name."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sgdtheory.commandline.texts import LISTING, PIPELINES
from tests.composing import composed
from tests.stocked import as_named, dry, is_pipeline, small_sets, stock, stock_runs

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
_, _, TABLE = README.partition("\n| what you want | command |\n")
ROWS = re.findall(r"`(sgdtheory [^`]+)`", TABLE.partition("\n\n")[0])
HELP = [
    f"sgdtheory {example.line}"
    for text in (*PIPELINES.values(), LISTING)
    for example in text.examples
]
LINES = list(dict.fromkeys([*ROWS, *HELP]))
# the command as a function that says which words it was given, with a mark behind each line's
SAYS = "sgdtheory() { print -rN -- $# $@ }\n"


@pytest.fixture
def stocked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    stock(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def with_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("stocked")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [*sys.path])
        small_sets(patch)
        stock(folder)
        stock_runs(folder)
        yield folder


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
def test_zsh_reads_them_as_other_shells_do(stocked: Path) -> None:
    """Where no file fits a bracket that is not in quotes, it refuses the line."""
    for line in LINES:
        done = subprocess.run(
            ["zsh", "-f", "-c", as_named(SAYS + line)],
            cwd=stocked,
            capture_output=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stderr
        count, *words = done.stdout.split("\0")[:-1]
        assert words == shlex.split(line)[1:] and int(count) == len(words)
    refused = subprocess.run(["zsh", "-f", "-c", f"{SAYS}sgdtheory a=[1]"], capture_output=True)
    assert refused.returncode == 1 and b"no matches found" in refused.stderr


@pytest.mark.parametrize("line", LINES)
def test_the_words_of_a_line_compose(line: str) -> None:
    words = shlex.split(line)[1:]
    if is_pipeline(words) and "--from" not in words:
        assert isinstance(composed(words), dict)


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES)
def test_a_line_does_what_it_says(line: str, with_runs: Path) -> None:
    said = dry(shlex.split(line)[1:])
    assert said.code == 0, said.err
    assert said.out


def test_all_rows_are_there() -> None:
    assert len(ROWS) > 25 and len(LINES) > 40
    assert TABLE.partition("\n\n")[0].count("\n| ") <= len(ROWS)
