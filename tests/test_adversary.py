"""Hypothesis is a stranger: whatever it writes into a configuration or a run, nothing is called,
imported or written.

What is said of it is a line or three with exit code 2, or the file is used for what it says of the
science; a canary file, the interpreter's audit events and the list of modules are looked at after
every try.
"""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import sgdtheory as package
from sgdtheory.commandline import exits
from sgdtheory.errors import RunError, UserError
from sgdtheory.execution import planning as execute
from sgdtheory.runs.digests import sha256_of
from sgdtheory.runs.folder import CorruptFile, Folder
from tests.adversary import CANARY, PLANTED, configurations, everything, names, tampered, watched
from tests.conftest import Said, call

QUIET = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}
FEW = settings(max_examples=15, phases=(Phase.explicit, Phase.generate), **QUIET)  # type: ignore[arg-type]
MANY = settings(max_examples=400, phases=(Phase.explicit, Phase.generate), **QUIET)  # type: ignore[arg-type]
SHOWN = "\x1b\x07\x08\r\x9b\u202e\u2066"  # what would be obeyed by a terminal
EDITED = ("manifest.json", "results.json", "units.json")
ALLOWED = ("/dev/null",)


class Home(NamedTuple):
    """A folder of its own, where somebody keeps a stranger's run."""

    top: Path
    run: Path

    @property
    def work(self) -> Path:
        return self.top / "work"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A finished run as it might be passed on, and a package that nobody trusts."""
    top = tmp_path_factory.mktemp("top")
    (top / "work").mkdir()
    before, seen = Path.cwd(), os.environ.get("HOME")
    os.chdir(top / "work")
    code = f"open('{CANARY}', 'w')\ndef touch(*args, **kw): open('{CANARY}', 'w')\n"
    Path(f"{PLANTED}.py").write_text(code, encoding="utf-8")
    few = ("sgd.steps=2", "polish=none", "executor.workers=1", "threads=1", "device=cpu")
    said = call("train", "landscape=ring", "minima=2", *few, f"run.root={top / 'kept'}")
    assert said.code == 0, said.err
    run = next((top / "kept" / "train").iterdir())
    call("report", str(run))  # whatever is imported or cached at first is there
    call("status", str(run))
    os.environ["HOME"] = str(top)
    yield Home(top, run)
    os.chdir(before)
    os.environ.pop("HOME")
    if seen is not None:
        os.environ["HOME"] = seen


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a network costs is another test's: a task is made whole, and only formulas are measured."""
    measured = execute.plan

    def plan(task: Any) -> Any:
        if hasattr(task.pipeline, "landscape") and hasattr(task.pipeline.landscape, "native_dim"):
            return measured(task)
        return execute.Plan(task.open().path, 0, 0, 0.0, 0.0, 0.0, 1, [], [], "")

    monkeypatch.setattr(execute, "plan", plan)


class Try(NamedTuple):
    """What came of one command."""

    said: Said
    faults: list[BaseException]  # what it ended with, before that was told


def attempt(*words: str) -> Try:
    faults: list[BaseException] = []
    with pytest.MonkeyPatch.context() as patch:
        told = exits.tell

        def tell(fault: BaseException) -> int:
            faults.append(fault)
            return told(fault)

        patch.setattr(exits, "tell", tell)
        return Try(call(*words), faults)


def judge(found: Try, *, damaged: bool = False) -> None:
    """Exit 0 or 2, told in three lines at most, in letters that are letters; `damaged`: also 1, by
    a file not as written."""
    said, faults = found
    if faults and not isinstance(faults[-1], UserError | RunError):
        raise AssertionError(said.err) from faults[-1]
    if said.code == 1 and damaged:
        assert faults and all(isinstance(fault, RunError) for fault in faults), (faults, said.err)
    else:
        assert said.code in (0, 2), (faults, said)
    assert said.code == 0 or 1 <= len(said.err.splitlines()) <= 3, said.err
    assert "Traceback" not in said.err and "(--trace shows where)" not in said.err, said.err
    assert not set(SHOWN) & set(said.out + said.err), ascii(said.out + said.err)


@contextlib.contextmanager
def harmless(home: Home, own: Path | None = None) -> Iterator[None]:
    """In this block nothing is started, imported, or written, but below `own`."""

    def elsewhere(tree: dict[str, Any]) -> dict[str, Any]:
        return {
            path: what
            for path, what in tree.items()
            if own is None or not path.startswith(str(own))
        }

    modules, before = set(sys.modules), elsewhere(everything(home.top))
    with watched() as done:
        yield
    assert done.started == []
    roots = [*ALLOWED, *([os.path.realpath(own)] if own is not None else [])]
    assert [path for path in done.written if not any(path.startswith(root) for root in roots)] == []
    assert elsewhere(everything(home.top)) == before
    assert not [path for path in home.top.rglob("*") if CANARY in path.name]
    assert not {name for name in set(sys.modules) - modules if PLANTED in name}


def whose(text: str) -> str:
    """The command that a configuration says it belongs to."""
    for name in ("connect", "diagnose", "sweep_temperature", "studies"):
        if (
            f"_target_: sgdtheory.pipelines.{name}." in text
            or f"_target_: sgdtheory.{name}." in text
        ):
            return {"sweep_temperature": "sweep-temperature", "studies": "study"}.get(name, name)
    return "train"


def try_file(home: Home, text: str) -> None:
    """`--from FILE`, without running it."""
    file = home.work / "given.yaml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    with harmless(home):
        judge(
            attempt(
                whose(text),
                "--from",
                str(file),
                "executor.workers=1",
                "device=cpu",
                "threads=1",
                "--dry-run",
            )
        )


def try_run(home: Home, text: str, how: str) -> None:
    """A run whose configuration is a stranger's and whose manifest fits it, wherever runs are read."""
    run = home.work / "their" / home.run.parent.name / home.run.name
    shutil.copytree(home.run, run)
    try:
        (run / "config.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
        manifest = Folder(run).read_json("manifest.json")
        digest = sha256_of(text) if how != "load" else None
        Folder(run).write_json(
            "manifest.json", {**manifest, "config_sha256": digest, "trust": [PLANTED, "subprocess"]}
        )
        with harmless(home, run if how == "report" else None):
            read(run, how)
    finally:
        shutil.rmtree(home.work / "their")


def read(run: Path, how: str, damaged: bool = False) -> None:
    if how == "load":
        with contextlib.suppress(UserError, CorruptFile):
            loaded = package.load(run)
            assert loaded.config and loaded.minima.ndim == 2
        return
    words = {
        "connect": [
            "connect",
            f"minima={run}",
            "executor.workers=1",
            "device=cpu",
            "threads=1",
            "--dry-run",
        ]
    }
    judge(attempt(*words.get(how, [how, str(run)])), damaged=damaged)


def try_facts(home: Home, data: st.DataObject, name: str, how: str) -> None:
    """A run one of whose files of facts is a stranger's, with the digests that fit."""
    run = home.work / "their" / home.run.parent.name / home.run.name
    shutil.copytree(home.run, run)
    try:
        thing = data.draw(tampered(Folder(home.run).read_json(name)))
        text = json.dumps(thing, ensure_ascii=data.draw(st.booleans()))
        (run / name).write_text(text, encoding="utf-8", errors="backslashreplace")
        if name == "results.json":
            manifest = Folder(run).read_json("manifest.json")
            files = {**manifest["files"], name: sha256_of((run / name).read_text(encoding="utf-8"))}
            Folder(run).write_json("manifest.json", {**manifest, "files": files})
        with harmless(home, run if how == "report" else None):
            read(run, how, damaged=True)
    finally:
        shutil.rmtree(home.work / "their")


HOW = ("connect", "load", "report", "status")


@given(text=configurations())
@FEW
def test_a_configuration_from_a_stranger(home: Home, text: str) -> None:
    try_file(home, text)


@given(text=configurations(), how=st.sampled_from(HOW))
@FEW
def test_a_run_from_a_stranger(home: Home, text: str, how: str) -> None:
    try_run(home, text, how)


@given(data=st.data(), name=st.sampled_from(EDITED), how=st.sampled_from(HOW))
@FEW
def test_facts_from_a_stranger(home: Home, data: st.DataObject, name: str, how: str) -> None:
    try_facts(home, data, name, how)


@pytest.mark.slow
@given(text=configurations())
@MANY
def test_many_configurations_from_a_stranger(home: Home, text: str) -> None:
    try_file(home, text)


@pytest.mark.slow
@given(text=configurations(), how=st.sampled_from(HOW))
@MANY
def test_many_runs_from_a_stranger(home: Home, text: str, how: str) -> None:
    try_run(home, text, how)


@pytest.mark.slow
@given(data=st.data(), name=st.sampled_from(EDITED), how=st.sampled_from(HOW))
@MANY
def test_many_facts_from_a_stranger(home: Home, data: st.DataObject, name: str, how: str) -> None:
    try_facts(home, data, name, how)


def test_the_watch_sees_what_a_stranger_would_do(home: Home) -> None:
    """The oracle itself: each of these would be found."""
    for act in (
        lambda: os.system("true"),
        lambda: (home.work / CANARY).write_text("x", encoding="utf-8"),
        lambda: (home.work / f"{PLANTED}.py").rename(home.work / "moved.py"),
    ):
        with pytest.raises(AssertionError), harmless(home):
            act()
        (home.work / CANARY).unlink(missing_ok=True)
        if (home.work / "moved.py").exists():
            (home.work / "moved.py").rename(home.work / f"{PLANTED}.py")
    assert names() is not None
