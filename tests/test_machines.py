"""Machines that are not this one: other encodings and terminals, no HOME, closed streams, newer and older Pythons."""

import argparse
import ast
import codecs
import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import hydra._internal.utils
import pytest

from sgdtheory.commandline.targets import CONFIGS
from sgdtheory.commandline.words import in_ascii
from sgdtheory.report.stdio import SPELLING, ready, shown, spell
from tests.conftest import Command
from tests.forks import warm

ROOT = Path(__file__).resolve().parents[1]
WORDS = ["train", "landscape=ring", "minima=2", "sgd.steps=40", "executor.workers=1", "threads=1"]
QUICK = [
    *("connect", "landscape=ring", "executor.workers=1", "threads=1", "autoneb.steps=20"),
    *("autoneb.last_steps=20", "autoneb.retries=0", "baselines.gradients=20", "plane=8"),
]  # it is the names of files that matter, not how well they are joined
MAIN = "from sgdtheory.cli import main; main()"


def run(
    where: Path, *words: str, code: str = MAIN, shell: str = "", **environment: str
) -> "subprocess.CompletedProcess[bytes]":
    """The command in a process of its own. `shell`: what is written behind it, such as `2>&-`. "": no such variable."""
    everything = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}
    call = ["bash", "-c", f'"$@" {shell}', "bash", sys.executable, "-c", code, *words]
    return subprocess.run(
        call,
        cwd=where,
        capture_output=True,
        timeout=120,
        env={k: v for k, v in everything.items() if v},
    )


def status(where: Path) -> list[str]:
    manifests = [
        json.loads(file.read_text(encoding="utf-8"))
        for file in sorted(where.glob("**/manifest.json"))
    ]
    return [manifest["status"] for manifest in manifests]


# files


def is_unstated(call: ast.Call) -> bool:
    """Whether text is read or written here in an encoding that the locale chooses."""
    words = {word.arg: word.value for word in call.keywords}
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    at = 0 if owner and name == "open" else 1  # path.open(mode), open(path, mode)
    mode = words.get("mode", call.args[at] if len(call.args) > at else ast.Constant("r"))
    binary = not isinstance(mode, ast.Constant) or "b" in str(
        mode.value
    )  # of a variable nothing can be said
    text = name == "read_text" or (
        name == "write_text" and len(call.args) == 1
    )  # two: a Folder's, which states its own
    text |= name == "open" and owner not in ("os", "Image", "task", "self.task") and not binary
    text |= name == "fdopen" and not binary
    text |= isinstance(
        words.get("text", words.get("universal_newlines")), ast.Constant
    )  # of a process
    return text and "encoding" not in words


def unstated(tree: ast.AST) -> list[int]:
    """The lines where it is so; `found.open().path` is that of a run, which a task opens."""
    runs = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "path"
    }
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and id(node) not in runs]
    return [call.lineno for call in calls if is_unstated(call)]


def test_text_is_read_and_written_in_an_encoding_that_is_stated() -> None:
    files = [
        file
        for folder in ("sgdtheory", "scripts", "tests")
        for file in sorted((ROOT / folder).rglob("*.py"))
    ]
    found = {
        str(file.relative_to(ROOT)): unstated(ast.parse(file.read_text(encoding="utf-8")))
        for file in files
    }
    assert {file: lines for file, lines in found.items() if lines} == {}
    assert len(found) > 200


@pytest.mark.parametrize(
    "text",
    [
        "path.read_text()", "path.write_text('x')", "path.open()", "path.open('a')", "open(path, mode='w')",
        "os.fdopen(3, 'w')", "subprocess.run(words, text=True)",
    ],
)  # fmt: skip
def test_what_states_none_is_seen(text: str) -> None:
    assert unstated(ast.parse(text)) == [1]


@pytest.mark.parametrize(
    "text",
    [
        "path.open('rb')",
        "path.read_text(encoding='utf-8')",
        "folder.write_text('name', 'x')",
        "os.open(path, 0)",
        "task.open()",
        "found.open().path",
    ],
)
def test_what_needs_none_is_let_be(text: str) -> None:
    assert unstated(ast.parse(text)) == []


# terminals


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("|∇L| ≤ 3.2e−08", b"|grad L| <= 3.2e-08"), ("0.25 ± 0.01", b"0.25 +- 0.01"), ("ηhN/b", b"eta hN/b"),
        ("ητ, 2(1−μ), Nη", b"eta tau, 2(1-mu), N eta"), ("½λ|θ|²", b"1/2lambda|theta|^2"), ("10⁻³", b"10^-3"),
        ("θ₀ → θ₁ …", b"theta0 -> theta1 ..."), ("Bézier, Erdős", b"Bezier, Erdos"), ("Σᵢ Δ", b"Sigma i Delta"),
        ("日本 \udcc3\udca4", "?? ä".encode()), ("\ud800", b"?"),
    ],
)  # fmt: skip
def test_what_ascii_has_not_is_spelled(text: str, spelled: bytes) -> None:
    codecs.register_error(SPELLING, spell)
    assert text.encode("ascii", SPELLING) == spelled


def test_latin_1_keeps_what_it_has() -> None:
    codecs.register_error(SPELLING, spell)
    assert "é ± η².".encode("latin-1", SPELLING) == b"\xe9 \xb1 eta\xb2."


def test_every_symbol_that_is_printed_has_a_spelling() -> None:
    codecs.register_error(SPELLING, spell)
    files = [*(ROOT / "sgdtheory").rglob("*.py"), *CONFIGS.rglob("*.yaml")]
    symbols = {
        letter
        for file in files
        for letter in file.read_text(encoding="utf-8")
        if not letter.isascii()
    }
    unspelled = {letter for letter in symbols if b"?" in letter.encode("ascii", SPELLING)}
    assert unspelled <= {"\N{REPLACEMENT CHARACTER}"}  # which stands for what nobody can read
    assert len(symbols) > 50


def test_decoding_is_not_ours_to_mend() -> None:
    codecs.register_error(SPELLING, spell)
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("utf-8", SPELLING)


def test_widths_are_those_of_what_is_shown() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors=SPELLING)
    assert shown("|θ|", stream) == "|theta|"
    assert shown("|θ|", io.StringIO()) == "|θ|"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_commands_run_in_every_encoding(encoding: str, tmp_path: Path) -> None:
    streams = f"import sys; sys.stdout, sys.stderr = (open(k, 'w', encoding='{encoding}', closefd=False) for k in (1, 2))"
    train = [*WORDS, "run.dir=runs/train/r"]
    for words in (train, train, ["status", "runs/train/r"], ["study"]):
        command = warm().start(tmp_path, *words, before=streams)
        assert command.server.ask(do="wait", pid=command.pid, seconds=60) == 0
        said, complaints = (
            (command.folder / name).read_text(encoding=encoding) for name in ("out", "err")
        )
        assert complaints.isascii() and "Traceback" not in complaints and "?" not in said
        if words is train:
            assert "|grad L| <=" in said
            heading, rule, *_ = [line for line in said.splitlines() if line]
            assert len(rule) >= len(heading.rstrip()) > 40 and set(rule) == {"-"}
    found = json.loads((tmp_path / "runs/train/r/results.json").read_text(encoding="utf-8"))
    assert "|∇L|" in found["claims"][0]["statement"]
    assert "|∇" in (tmp_path / "runs/train/r/report.html").read_text(encoding="utf-8")


def spelt(name: str) -> str:
    """A name as this process has it on disk: with surrogates for its bytes where its locale is ASCII."""
    return os.fsdecode(name.encode())


def test_a_locale_of_ascii_and_names_that_are_not(tmp_path: Path) -> None:
    """All of it at once, in processes of its own: Python decodes names as ASCII there, and opens files as ASCII."""
    where = tmp_path / spelt("größe")
    where.mkdir()
    over, acute = spelt("über"), spelt("é")
    train = [*WORDS, "executor.workers=2", f"run.dir={over}"]
    for words in (
        train,
        [*QUICK, f"minima={over}", f"run.dir={acute}"],
        ["status", over],
    ):
        done = run(where, *words, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
        assert done.returncode == 0, done.stderr
    assert done.stdout.decode().startswith("über . done . 2/2")
    assert {path.name for path in where.iterdir()} == {acute, over}
    again = warm().run(where, *WORDS, f"run.dir={over}")  # where names are UTF-8 it is the same run
    assert again.code == 0 and "already done: über" in again.err


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("data.path=/home/jörg/a b.npz", "data.path='/home/jörg/a' b.npz"), ("minima=[ä.pt,b.pt]", "minima=['ä.pt',b.pt]"),
        ("run.name='ä'", "run.name='ä'"), ("run.dir=${a}/ä", "run.dir=${a}/ä"), ("seed=1", "seed=1"), ("ring", "ring"),
    ],
)  # fmt: skip
def test_values_hydra_cannot_read_are_quoted(word: str, quoted: str) -> None:
    assert in_ascii(word) == quoted


# surroundings


CLOSED = "import os, sys\nfor k in {0}: os.close(k); setattr(sys, ('stdin', 'stdout', 'stderr')[k], None)"
FULL = "import sys\nsys.{0} = open('/dev/full', 'w')"


@pytest.mark.parametrize(
    "before",
    [CLOSED.format("[2]"), CLOSED.format("[1]"), CLOSED.format("[2, 1, 0]"), FULL.format("stderr")],
)
def test_a_stream_that_is_closed_or_full_fails_no_run(before: str, tmp_path: Path) -> None:
    for _ in range(2):  # the second finds it done already, and says so
        done = warm().run(tmp_path, *WORDS, before=before)
        assert (done.code, status(tmp_path)) == (0, ["done"]), done.err
        assert "Traceback" not in done.err
    log = next(tmp_path.glob("runs/train/*/log.txt")).read_text(encoding="utf-8")
    assert all(
        line.startswith("20") for line in log.splitlines()
    )  # nothing that was meant for a terminal


@pytest.mark.parametrize("shell", [">&-", "2>&-", "| head -c 1"])
def test_the_shell_may_close_what_it_likes(shell: str, tmp_path: Path) -> None:
    done = run(tmp_path, "study", shell=shell)
    assert (done.returncode, done.stderr) == (0, b"")


def test_results_that_cannot_be_said_are_a_failure(tmp_path: Path) -> None:
    done = warm().run(tmp_path, *WORDS, before=FULL.format("stdout"))
    assert (done.code, status(tmp_path)) == (1, ["done"])
    assert (
        done.err.splitlines()[-1].startswith("No space left on device")
        and "Traceback" not in done.err
    )
    cold = run(tmp_path, "study", shell=">/dev/full")
    assert cold.returncode == 1 and cold.stderr.decode().startswith("No space left on device")
    assert len(cold.stderr.splitlines()) == 1


SURROUNDINGS: list[dict[str, str]] = [
    {"TERM": "dumb"}, {"TERM": ""}, {"COLUMNS": "1"}, {"COLUMNS": "0"}, {"COLUMNS": "-5"}, {"COLUMNS": "wide"}, {"HOME": ""},
]  # fmt: skip


@pytest.mark.parametrize("environment", SURROUNDINGS, ids=str)
def test_odd_terminals(environment: dict[str, str], tmp_path: Path) -> None:
    for words in (["status"], ["train", "--help"]):
        done = run(tmp_path, *words, **environment)
        assert (done.returncode, done.stderr) == (0, b"") and done.stdout


def test_pictures_are_drawn_where_there_is_no_home(tmp_path: Path) -> None:
    code = "from sgdtheory.report.figures.canvas import drawing_of as drawing; print(len(drawing('x', 2.0, lambda canvas: canvas.subplots()).svg))"
    environment = {
        "HOME": "/dev/null/x",
        "XDG_CACHE_HOME": "",
        "XDG_CONFIG_HOME": "",
        "MPLCONFIGDIR": "",
    }
    done = run(tmp_path, code=code, **environment)
    assert (done.returncode, done.stderr) == (0, b"") and int(done.stdout) > 1000


def test_a_stream_that_was_closed_has_its_number_taken(tmp_path: Path) -> None:
    """Else the next file that is opened gets it, and what others print goes into a log or a lock."""
    code = "import os; from sgdtheory.report.stdio import ready; ready(); print(os.open('/', 0), os.readlink('/proc/self/fd/2'))"
    number, leads = run(tmp_path, code=code, shell="2>&-").stdout.split()
    assert int(number) > 2 and leads == b"/dev/null"


def test_what_a_notebook_has_for_a_stream_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    own = io.StringIO()
    monkeypatch.setattr(sys, "stdout", own)
    ready()
    assert sys.stdout is own


# Python 3.14


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have argparse check help texts as options are added, as Python 3.14's does."""
    add = argparse._ActionsContainer.add_argument

    def add_argument(self: Any, *flags: Any, **settings: Any) -> argparse.Action:
        action = add(self, *flags, **settings)
        if action.help and hasattr(self, "_get_formatter"):
            try:
                self._get_formatter()._expand_help(action)
            except (ValueError, TypeError, KeyError) as fault:
                raise ValueError("badly formed help string") from fault
        return action

    monkeypatch.setattr(argparse._ActionsContainer, "add_argument", add_argument)


def test_hydra_passes_what_argparse_will_refuse(strict: None) -> None:
    """When this fails, Hydra has mended it, and commandline/front.py needs no parser of its own."""
    with pytest.raises(ValueError, match="badly formed help string"):
        hydra._internal.utils.get_args_parser()


def test_the_command_runs_where_argparse_checks_help_texts(
    strict: None, sgdtheory: Command
) -> None:
    for words in (["--cfg", "job"], ["--dry-run"], ["-m", "minima=1,2", "--dry-run"]):
        said = sgdtheory("train", "landscape=ring", *words)
        assert (said.code, said.err) == (0, "")
    assert "Install or Uninstall shell completion" in sgdtheory("train", "--hydra-help").out
    assert hydra._internal.utils.argparse is argparse  # type: ignore[attr-defined]


# the lowest versions


@pytest.fixture(scope="module")
def lowest() -> ModuleType:
    place = importlib.util.spec_from_file_location("lowest", ROOT / "scripts" / "lowest.py")
    assert place is not None and place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


def test_the_lowest_versions_are_those_of_pyproject(lowest: ModuleType) -> None:
    assert lowest.lowest("torch>=2.6,<3") == "torch==2.6"
    assert lowest.lowest("hydra-core >= 1.3.2, <1.4") == "hydra-core==1.3.2"
    assert lowest.lowest("types-PyYAML") is None
    found = lowest.constraints((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {"torch", "typer", "scipy", "pytest"} <= {line.partition("==")[0] for line in found}


def test_a_requirement_without_a_lowest_version_is_refused(lowest: ModuleType) -> None:
    with pytest.raises(SystemExit, match="states the lowest version"):
        lowest.lowest("torch")
