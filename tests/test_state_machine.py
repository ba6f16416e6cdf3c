"""Starts, kills, moves, copies, links, deletions and edits over one root of runs, in any order.

The oracle knows what every command has to find, to the bit, and what was done to its files: it ends as an undisturbed run
does, or refuses in a few lines that name what was edited or taken away. "Already done" is said where all is there and as
written; what is the user's own stays.
"""

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.disturbed import COMMANDS, VOUCHED, bits, do, undisturbed
from tests.forks import Ended

QUIET: dict[str, Any] = {
    "deadline": None, "derandomize": True, "database": None, "suppress_health_check": list(HealthCheck),
    "phases": (Phase.explicit, Phase.generate), "stateful_step_count": 25,
}  # fmt: skip
TRAINS = ("two", "three", "polished")
HEALS = (
    *VOUCHED,
    "report.html",
    "config.yaml",
    "units.json",
    "log.txt",
    "paths",
    "table.csv",
)  # made again where deleted
HEALS_IN_UNIT = (
    "",
    "status.json",
    "unit.json",
    "result.json",
    "result.safetensors",
    "state.safetensors",
)
EDITED = (
    *VOUCHED,
    "config.yaml",
    "units/result.json",
    "units/result.safetensors",
    "units/metrics.jsonl",
)
CUT = ("results.json", "units.json", "manifest.json", "units/result.json", "units/status.json")
NAMES, WHICH = st.sampled_from([*TRAINS * 3, "joined"]), st.integers(0, 5)
steps = {"taken": 0}


class Touched(NamedTuple):
    """What was done to a file: what it was, and what it is now (None: it was taken away)."""

    was: bytes
    now: bytes | None

    def stands(self, path: Path) -> bool:
        """Whether it is still as the user left it."""
        return (path.read_bytes() if path.is_file() else None) == self.now


class Disturbed(RuleBasedStateMachine):
    """One root, and what has been done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.touched: dict[Path, Touched] = {}
        self.own: dict[Path, bytes] = {}  # the user's files
        self.copies = 0

    def run(self, name: str) -> Path:
        return self.home / undisturbed()[name][0]

    def found(self, name: str, pattern: str, which: int) -> Path | None:
        """A file of a run, or of one of the units of all."""
        folder, _, file = pattern.rpartition("/")
        paths = (
            sorted((self.home / "runs/units").glob(f"*/{file}" if file else "*"))
            if folder
            else [self.run(name) / file]
        )
        paths = [path for path in paths if path.exists()]
        return paths[which % len(paths)] if paths else None

    # what is done

    @initialize()
    def begin(self) -> None:
        do(self.home, *COMMANDS["two"])

    @rule(name=NAMES)
    def start(self, name: str) -> None:
        steps["taken"] += 1
        self.judge(name, *self.started(name))

    @rule(name=NAMES, at=st.integers(1, 130), torn=st.booleans())
    def kill(self, name: str, at: int, torn: bool) -> None:
        steps["taken"] += 1
        ended, whole = self.started(name, kill_at=at, torn=torn)
        if ended.code not in (-9, 9):  # it was over before
            self.judge(name, ended, whole)

    def started(self, name: str, **how: Any) -> tuple[Ended, bool]:
        """What came of it, and whether all was there and as written before."""
        whole = bits(self.run(name)) == undisturbed()[name][1] if self.is_readable(name) else False
        return do(self.home, *COMMANDS[name], **how), whole

    def is_readable(self, name: str) -> bool:
        path = self.run(name) / "results.json"
        return not path.exists() or path.read_bytes().endswith(b"}\n")

    @rule(
        name=NAMES,
        file=st.sampled_from([*HEALS, *(f"units/{name}" for name in HEALS_IN_UNIT)]),
        which=WHICH,
    )
    def delete(self, name: str, file: str, which: int) -> None:
        steps["taken"] += 1
        path = self.found(name, file, which)
        if path is not None and not any(path in (own, *own.parents) for own in self.own):
            self.forget(path)
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    @rule(name=NAMES, file=st.sampled_from(["manifest.json", "units/metrics.jsonl"]), which=WHICH)
    def take_away(self, name: str, file: str, which: int) -> None:
        """What cannot be made again from what is left."""
        self.change(name, file, which, lambda text: None)

    @rule(name=NAMES, file=st.sampled_from(EDITED), which=WHICH, at=st.integers(0, 400))
    def edit(self, name: str, file: str, which: int, at: int) -> None:
        """One digit, or one byte, becomes another; a configuration has a line more."""

        def edited(content: bytes) -> bytes:
            if file == "config.yaml":
                return content + b"# mine\n"
            if file.endswith(".safetensors"):
                return content[:-1] + bytes([content[-1] ^ 1])
            digits = [found.start() for found in re.finditer(rb"\d", content)]
            place = digits[at % len(digits)] if digits else 0
            return (
                content[:place]
                + (b"7" if content[place : place + 1] != b"7" else b"3")
                + content[place + 1 :]
            )

        self.change(name, file, which, edited)

    @rule(name=NAMES, file=st.sampled_from(CUT), which=WHICH)
    def cut(self, name: str, file: str, which: int) -> None:
        self.change(name, file, which, lambda content: content[: len(content) // 2])

    def change(self, name: str, file: str, which: int, make: Any) -> None:
        steps["taken"] += 1
        path = self.found(name, file, which)
        if path is None or path in self.touched or not (was := path.read_bytes()):
            return
        now = make(was)
        self.touched[path] = Touched(was, now)
        path.unlink()
        if now is not None:
            path.write_bytes(now)

    @rule(which=WHICH)
    def put_back(self, which: int) -> None:
        steps["taken"] += 1
        if self.touched:
            self.restore(sorted(self.touched)[which % len(self.touched)])

    def restore(self, path: Path) -> None:
        touched = self.touched.pop(path)
        if path.parent.exists() and touched.stands(path):
            path.write_bytes(touched.was)

    def forget(self, path: Path) -> None:
        self.touched = {
            key: what for key, what in self.touched.items() if path not in (key, *key.parents)
        }

    @rule(name=NAMES, how=st.sampled_from(["move", "copy", "link", "link units"]))
    def carry(self, name: str, how: str) -> None:
        """A run, or all units, to another place; a link may stand where they were."""
        steps["taken"] += 1
        path = self.home / "runs/units" if how == "link units" else self.run(name)
        if not path.exists() or path.is_symlink() or any(path in own.parents for own in self.own):
            return
        self.copies += 1
        there = self.home / f"runs/elsewhere/{path.name}-{self.copies}"
        there.parent.mkdir(exist_ok=True)
        if how == "copy":
            shutil.copytree(path, there)
        else:
            shutil.move(path, there)
            if how == "move":
                self.forget(path)
            else:
                path.symlink_to(there)
        for words in (
            (["status", str(there.relative_to(self.home))],) if how in ("move", "copy") else ()
        ):
            self.in_words(do(self.home, *words))

    @rule(name=NAMES, file=st.sampled_from(["notes.txt", "mine.csv", "config.yaml"]))
    def leave(self, name: str, file: str) -> None:
        """A file of the user's own in the directory of a run, there already or not."""
        steps["taken"] += 1
        path = self.run(name) / file
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.own[path] = b"mine\n"
            path.write_bytes(self.own[path])

    @rule(name=NAMES)
    def look(self, name: str) -> None:
        """`status` and `report` say what is there, and change none of it."""
        steps["taken"] += 1
        before, run = (
            bits(self.run(name)) if self.is_readable(name) else None,
            str(self.run(name).relative_to(self.home)),
        )
        assert do(self.home, "status").code == 0
        status, report = do(self.home, "status", run), do(self.home, "report", run)
        self.in_words(status)
        self.in_words(report)
        if before == undisturbed()[name][1] and not self.touched and not self.own:
            assert report.code == 0, (report, self.told())
        edited = [
            file for file in ("results.json", "table.csv") if self.stands(self.run(name) / file)
        ]
        if edited and status.code == 0 and " done " in f"{status.out.splitlines()[0]} ":
            assert "not as measured" in status.out or "damaged" in status.out, (edited, status)
        if (
            "results.json" in edited
            and " done " in f"{status.out.splitlines()[0] if status.out else ''} "
        ):
            assert report.code in (1, 2) and "results.json" in report.err, report
        assert before is None or bits(self.run(name)) == before

    # what must be so

    def stands(self, path: Path) -> bool:
        return path in self.touched and self.touched[path].stands(path)

    def in_words(self, ended: Ended) -> None:
        assert (
            ended.code in (0, 1, 2)
            and "Traceback" not in ended.err
            and "--trace shows" not in ended.err
        ), ended
        assert ended.code == 0 or 1 <= len(ended.err.splitlines()) <= 5, ended

    def judge(self, name: str, ended: Ended, whole: bool) -> None:
        self.in_words(ended)
        run, wanted = self.run(name), undisturbed()[name][1]
        if ended.code == 0:
            found = bits(run)
            assert found == wanted, (different(found, wanted), self.told(), ended)
            assert (run / "report.html").exists() and (whole or "already done" not in ended.err), (
                ended,
                self.told(),
            )
            return
        excuses = self.excuses(name)
        assert any(word in ended.err for word in excuses), (name, ended, excuses)

    def excuses(self, name: str) -> set[str]:
        """Words one of which a refusal must have: the names of what stands as the user has left it."""
        folders = [
            self.run(name),
            *([self.run("two")] if name == "joined" else []),
            self.home / "runs/units",
        ]
        found = {
            path.name for path in self.touched if path.parent in folders[:-1] and self.stands(path)
        }
        found |= {
            path.name for path in self.touched if folders[-1] in path.parents and self.stands(path)
        }
        of_no_run = [
            folder
            for folder in folders[:-1]
            if not (folder / "manifest.json").exists() and folder.exists()
        ]
        if (
            any(file.parent in of_no_run for file in (*self.own, *self.touched))
            or "manifest.json" in found
        ):
            found |= {"is no run", "no manifest.json"}
        found |= (
            {"config.yaml"}
            if any(own.name == "config.yaml" and own.parent in folders for own in self.own)
            else set()
        )
        if name == "joined" and not self.has_points():
            found |= {"minima"}
        return found - {""}

    def has_points(self) -> bool:
        """Whether the run whose minima are joined has them, and says so."""
        run = self.run("two")
        return (run / "minima.safetensors").exists() and '"minima.safetensors"' in _text(
            run / "manifest.json"
        )

    def told(self) -> list[str]:
        return [
            f"{path.relative_to(self.home)}: {what.stands(path)}"
            for path, what in self.touched.items()
        ]

    @invariant()
    def nothing_of_the_users_is_lost(self) -> None:
        for path, content in self.own.items():
            assert path.read_bytes() == content, path
        for path, touched in self.touched.items():
            if path.name == "config.yaml" and path.parent.exists():
                assert touched.stands(path) or _text(path) != _text(path), path

    def teardown(self) -> None:
        """Whatever was done is undone as the words of the refusals say: then all commands end as if nothing had been."""
        try:
            for path in list(self.touched):
                self.restore(path)
            for path in self.own:
                path.unlink(missing_ok=True)
            for name in COMMANDS if self.copies % 3 == 0 else TRAINS:
                run = self.run(name)
                if run.exists() and not (run / "manifest.json").exists():
                    shutil.rmtree(run.resolve())
                    run.unlink() if run.is_symlink() else None
                ended, whole = self.started(name)
                self.judge(name, ended, whole)
                assert ended.code == 0, (name, ended)
        finally:
            shutil.rmtree(self.home)


def different(found: Any, wanted: Any, key: str = "") -> list[str]:
    """Where two trees differ, and in what."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return [
            each
            for name in wanted
            for each in different(found.get(name), wanted[name], f"{key}.{name}")
        ]
    return [] if found == wanted else [f"{key}: {str(found)[:80]} for {str(wanted)[:80]}"]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


@pytest.mark.parametrize("examples", [10, pytest.param(105, marks=pytest.mark.slow)])
def test_any_order_of_starts_kills_moves_and_edits(examples: int) -> None:
    steps["taken"] = 0
    run_state_machine_as_test(Disturbed, settings=settings(max_examples=examples, **QUIET))
    assert steps["taken"] >= 20 * examples, steps
