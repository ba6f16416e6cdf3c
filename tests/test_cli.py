"""The command line as people and scripts use it: what it costs to start, what it says where, what it leaves behind."""

import json
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra

from sgdtheory import __version__
from sgdtheory.commandline.composer import completions
from sgdtheory.commandline.targets import CONFIGS
from tests.conftest import Command, Said

Cold = Callable[..., Said]
RING = ("train", "landscape=ring", "minima=2", "sgd.steps=20", "executor.workers=1")
ROOT = Path(__file__).parents[1]


def runs(where: Path) -> list[str]:
    """The run directories below `where`, by command and name."""
    return sorted(
        f"{path.parent.parent.name}/{path.parent.name}"
        for path in where.glob("runs/*/*/manifest.json")
    )


def results(where: Path) -> dict[str, Any]:
    (found,) = where.glob("runs/*/*/results.json")
    return dict(json.loads(found.read_text(encoding="utf-8")))


# what it costs to start


def user_seconds(*words: str) -> float:
    """CPU time in user mode of a process, the best of three."""
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        code = "from sgdtheory.cli import main; main()"
        subprocess.run(
            [sys.executable, "-c", code, *words], check=True, cwd=ROOT, stdout=subprocess.DEVNULL
        )
        times.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
    return min(times)


@pytest.mark.parametrize(
    ("words", "limit"), [(["--help"], 0.4), (["train", "--help"], 0.8), (["status"], 0.4)]
)
def test_starts_in_no_time(words: list[str], limit: float) -> None:
    assert user_seconds(*words) < limit


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["train", "--help"],
        ["--version"],
        ["status"],
        ["report", "nothing"],
        ["trian"],  # codespell:ignore trian
    ],
)
def test_starts_without_torch_and_hydra(words: list[str], cold: Cold) -> None:
    code = (
        "import sys\nfrom sgdtheory.cli import main\ntry: main()\n"
        "finally: print([name for name in ('torch', 'hydra', 'omegaconf') if name in sys.modules])"
    )
    assert cold(*words, code=code).out.splitlines()[-1] == "[]"


def test_version_and_help(sgdtheory: Command) -> None:
    assert sgdtheory("--version") == (0, f"sgdtheory {__version__}\n", "")
    said = sgdtheory("--help")
    assert said.code == 0 and all(command in said.out for command in ("train", "status", "report"))
    said = sgdtheory("train", "--help")
    assert said.code == 0
    assert all(
        option in said.out
        for option in (
            "--trust",
            "--from",
            "--dry-run",
            "--retry-failed",
            "--quiet",
            "--verbose",
            "--trace",
        )
    )


# what it does


LEARNED = ("landscapes.network",)  # where no minimum is known exactly


def with_defaults(file: Path) -> str:
    """A choice's text, and that of the choice it is made from."""
    text = file.read_text(encoding="utf-8")
    made_from = re.findall(r"^  - (?!_self_)(\w+)$", text, re.MULTILINE)
    return text + "".join(with_defaults(file.with_stem(name)) for name in made_from)


NETWORKS = {
    file.stem
    for file in CONFIGS.glob("landscape/*.yaml")
    if any(name in with_defaults(file) for name in LEARNED)
}
FORMULAS = sorted({file.stem for file in CONFIGS.glob("landscape/*.yaml")} - NETWORKS)


@pytest.mark.parametrize("name", FORMULAS)
def test_trains_on_every_formula(name: str, sgdtheory: Command, tmp_path: Path) -> None:
    said = sgdtheory("train", f"landscape={name}", "minima=2", "sgd.steps=50", "executor.workers=1")
    assert said.code == 0, said.err
    found = results(tmp_path)
    assert len(found["minima"]) == 2 and found["claims"][0]["holds"] is True
    assert "2 minima of" in said.out and "report: runs/train/" in said.out


def test_leaves_what_the_interface_promises_and_nothing_else(
    sgdtheory: Command, tmp_path: Path
) -> None:
    assert (
        sgdtheory("train", "model=mlp", "sgd.steps=5", "minima=1", "executor.workers=1").code == 0
    )
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["train", "units"]
    (run,) = (tmp_path / "runs/train").iterdir()
    names = "config.yaml manifest.json units.json metrics.jsonl results.json table.csv report.html minima.safetensors figures"
    assert set(names.split()) <= {path.name for path in run.iterdir()}
    found = results(tmp_path)
    assert found.keys() >= {
        "command", "seed", "landscape", "dim", "device", "seconds", "version", "config_hash", "claims", "minima",
    }  # fmt: skip
    assert (found["command"], found["seed"], found["version"]) == ("train", 0, __version__)
    assert run.name == f"mlp-digits-{found['config_hash'][:8]}"
    for claim in found["claims"]:
        assert claim.keys() >= {"name", "statement", "value", "stderr", "expected", "holds", "why"}
    (row,) = found["minima"]
    for name in ("train_loss", "train_error", "test_loss", "test_error"):
        assert row[name] >= 0 and row[f"{name}_stderr"] >= 0
    assert row.keys() >= {"name", "objective", "gradient_norm", "parameter_norm", "steps"}
    assert 0 <= row["test_error"] <= 1 and row["steps"] == 5


def test_a_number_that_cannot_be_given_has_its_reason_beside_it(
    sgdtheory: Command, tmp_path: Path
) -> None:
    assert sgdtheory(*RING).code == 0
    row = results(tmp_path)["minima"][0]
    assert row["test_loss"] is None and row["test_loss_why"]


def test_words_in_any_order_are_the_same_run(sgdtheory: Command, tmp_path: Path) -> None:
    assert sgdtheory(*RING).code == 0
    said = sgdtheory(
        "train",
        "--quiet",
        "executor.workers=1",
        "minima=2",
        "--retry-failed",
        "landscape=ring",
        "sgd.steps=20",
    )
    assert said.code == 0 and said.err == ""
    assert len(runs(tmp_path)) == 1


def test_a_finished_run_says_so(sgdtheory: Command, tmp_path: Path) -> None:
    first = sgdtheory(*RING)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    again = sgdtheory(*RING)
    assert again.code == 0 and again.err == f"already done: runs/{runs(tmp_path)[0]}\n"
    assert again.out == first.out
    assert {
        path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()
    } == before


def test_places_are_no_part_of_a_run(sgdtheory: Command, tmp_path: Path) -> None:
    assert sgdtheory(*RING).code == 0
    said = sgdtheory(
        *RING[:-1], "executor.workers=2", "threads=1", "device=cpu", "landscape.rotation_seed=0"
    )
    assert "already done" in said.err


def test_quiet_and_verbose(sgdtheory: Command) -> None:
    assert sgdtheory(*RING, "--quiet").err == ""
    assert re.fullmatch(r"already done: \S+\n[\d.]+ s\n", sgdtheory(*RING, "--verbose").err)


def test_dry_run_writes_nothing(sgdtheory: Command, tmp_path: Path) -> None:
    said = sgdtheory(*RING, "--dry-run")
    assert (said.code, said.err) == (0, "")
    assert "2 units: 2 to do" in said.out and "nothing was done" in said.out
    assert list(tmp_path.iterdir()) == []
    sgdtheory(*RING)
    assert "2 units: all done already" in sgdtheory(*RING, "--dry-run").out


def test_run_keys(sgdtheory: Command, tmp_path: Path) -> None:
    assert sgdtheory(*RING, "run.dir=here").code == 0
    assert (tmp_path / "here/results.json").exists() and (tmp_path / "here/units").is_dir()
    assert sgdtheory(*RING, "run.root=there", "run.name=mine").code == 0
    (found,) = (tmp_path / "there/train").iterdir()
    assert found.name.startswith("mine-")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "there"]


# what it says when a run fails

DIVERGING = (
    "train",
    "landscape=quadratic",
    "minima=2",
    "sgd.steps=50",
    "executor.workers=1",
    "sgd.learning_rate=1e9",
)


def test_a_run_that_fails_exits_1_with_one_line(sgdtheory: Command, tmp_path: Path) -> None:
    said = sgdtheory(*DIVERGING)
    assert (said.code, said.out) == (1, "")
    assert len(said.err.splitlines()) == 1
    assert (
        "the loss is not finite" in said.err
        and "sgd.learning_rate" in said.err
        and "--retry-failed" in said.err
    )
    status = sgdtheory("status")
    assert status.code == 0 and "failed" in status.out
    assert sgdtheory(*DIVERGING).code == 1
    assert sgdtheory(*DIVERGING, "--retry-failed").code == 1
    (failed,) = (tmp_path / "runs" / "train").iterdir()
    assert sgdtheory("connect", f"minima={failed}").err.endswith(" --retry-failed\n")


def test_of_a_multirun_all_other_jobs_run(sgdtheory: Command, tmp_path: Path) -> None:
    said = sgdtheory(*DIVERGING[:-1], "-m", "sgd.learning_rate=1e9,0.1")
    assert said.code == 1 and "not finite" in said.err
    assert len(runs(tmp_path)) == 2 and said.out.count("report: ") == 1


# Hydra's own flags


def test_multirun(sgdtheory: Command, tmp_path: Path) -> None:
    said = sgdtheory(
        "train", "landscape=ring", "minima=1,2", "--multirun", "sgd.steps=20", "executor.workers=1"
    )
    assert said.code == 0 and said.out.count("report: ") == 2
    assert len(runs(tmp_path)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert said.out.count("comparison: ") == 1 and "2 runs, all with landscape=ring" in said.out
    told = json.loads(sgdtheory("status", "--json").out)
    asked = {row["overrides"] for row in told}
    rest = "sgd.steps=20 executor.workers=1"
    assert asked == {f"landscape=ring minima={k} {rest}" for k in (1, 2)}
    table = sgdtheory("report", "--csv", *(row["run"] for row in told))
    assert table.code == 0 and len(table.out.splitlines()) == 3
    assert {line.split(",")[2] for line in table.out.splitlines()[1:]} == {"minima=1", "minima=2"}


@pytest.mark.parametrize("words", [["--cfg", "job"], ["-c", "job"], ["--cfg=job"]])
def test_flags_that_only_show(words: list[str], sgdtheory: Command, tmp_path: Path) -> None:
    said = sgdtheory("train", *words, "minima=3")
    assert said.code == 0 and "minima: 3" in said.out
    assert list(tmp_path.iterdir()) == []


def test_info(cold: Cold, sgdtheory: Command, tmp_path: Path) -> None:
    for words in (["--info", "config", "minima=3"], ["--info", "minima=3"]):
        said = cold(
            "train", *words
        )  # a process of its own, because Hydra turns logging on for good
        assert said.code == 0 and "minima: 3" in said.out
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_of_ones_own(sgdtheory: Command, tmp_path: Path) -> None:
    (tmp_path / "mine/landscape").mkdir(parents=True)
    own = (
        (CONFIGS / "landscape/ring.yaml")
        .read_text(encoding="utf-8")
        .replace("height: 0.25", "height: 0.5")
    )
    (tmp_path / "mine/landscape/hill.yaml").write_text(own, encoding="utf-8")
    (tmp_path / "mine/few.yaml").write_text(
        "defaults: [train, _self_]\nminima: 1\n", encoding="utf-8"
    )
    said = sgdtheory(
        "train",
        "landscape=hill",
        "--config-dir",
        "mine",
        "-cn",
        "few",
        "sgd.steps=20",
        "executor.workers=1",
    )
    assert said.code == 0, said.err
    assert len(results(tmp_path)["minima"]) == 1 and "height: 0.5" in next(
        tmp_path.glob("runs/*/*/config.yaml")
    ).read_text(encoding="utf-8")
    said = sgdtheory("train", "landscape=hil", "--config-dir", "mine")
    assert said == (2, "", "landscape=hil: there is no landscape 'hil'; did you mean 'hill'?\n")


# starting from an earlier run


def test_from_a_runs_own_configuration(sgdtheory: Command, tmp_path: Path) -> None:
    assert sgdtheory(*RING, "landscape.height=0.5").code == 0
    (first,) = runs(tmp_path)
    config = f"runs/{first}/config.yaml"
    left = f"{config}: its executor.workers is not taken; the command line says where and how\n"
    assert sgdtheory("train", "--from", config).err == f"{left}already done: runs/{first}\n"
    assert sgdtheory("train", "minima=1", "--from", config).code == 0
    assert len(runs(tmp_path)) == 2
    assert sgdtheory("train", "--from", config, "-m", "minima=1,3").code == 0
    assert len(runs(tmp_path)) == 3
    said = sgdtheory(
        "train",
        "--from",
        config,
        "landscape=quadratic",
        "landscape.directions=3",
        "schedule=constant",
    )
    assert said.code == 0 and "2 minima of Quadratic" in said.out
    assert sgdtheory("train", "--from", config).err == f"{left}already done: runs/{first}\n"


def test_a_networks_configuration_repeats_it(sgdtheory: Command, tmp_path: Path) -> None:
    words = (
        "train",
        "model=linear",
        "schedule=warmup",
        "sgd.steps=3",
        "minima=1",
        "executor.workers=1",
    )
    assert sgdtheory(*words, "device=cpu").code == 0
    config = f"runs/{runs(tmp_path)[0]}/config.yaml"
    assert "already done" in sgdtheory("train", "--from", config).err
    assert sgdtheory("train", "--from", config, "model=mlp").code == 0
    assert len(runs(tmp_path)) == 2


# status and report


def test_status_and_report(sgdtheory: Command, tmp_path: Path) -> None:
    assert "no runs under" in sgdtheory("status").out
    sgdtheory(*RING)
    (run,) = runs(tmp_path)
    said = sgdtheory("status")
    assert said.code == 0 and f"runs/{run}" in said.out and "done" in said.out and "2/2" in said.out
    said = sgdtheory("status", f"runs/{run}")
    assert said.code == 0 and "minimum-1" in said.out
    page = tmp_path / "runs" / run / "report.html"
    page.unlink()
    assert sgdtheory("report", f"runs/{run}") == (0, f"runs/{run}/report.html\n", "")
    assert page.exists()
    sgdtheory(*RING, "seed=1")
    said = sgdtheory("report", *(f"runs/{name}" for name in runs(tmp_path)), "--out", "both.html")
    assert said.code == 0 and (tmp_path / "both.html").exists()


# processes


def test_a_process_of_its_own(cold: Cold, sgdtheory: Command, tmp_path: Path) -> None:
    said = cold("train", "landscape=ring", "minima=2", "sgd.steps=20", "executor.workers=2")
    assert said.code == 0 and "2 minima of Ring" in said.out and "\x1b" not in said.out + said.err
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    said = cold("train", "landscape=ring", "minima=0", "--trace")
    assert said.code == 1 and "Traceback" in said.err and "UserError" in said.err


def test_a_reader_that_has_seen_enough(sgdtheory: Command, tmp_path: Path) -> None:
    command = f"{sys.executable} -c 'from sgdtheory.cli import main; main()' train --info | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, encoding="utf-8", cwd=ROOT)
    assert done.stderr == ""


def test_a_call_leaves_the_process_as_it_was(sgdtheory: Command) -> None:
    handlers = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    }
    arguments, path = [*sys.argv], [*sys.path]
    for words in (RING, (*RING, "seed=x"), DIVERGING, (*RING, "--dry-run")):
        sgdtheory(*words)
    assert {number: signal.getsignal(number) for number in handlers} == handlers
    assert (sys.argv, sys.path) == (arguments, path)
    assert not GlobalHydra.instance().is_initialized()
    for _ in range(2):
        sgdtheory(*RING, "--trust", "json")
    assert len(sys.path) <= len(path) + 1


# completion


def test_completion_of_overrides() -> None:
    assert "landscape=" in completions("train", "lands")
    assert "sgd.steps=" in completions("train", "sgd.st")
    assert completions("train", "landscape=ri") == ["landscape=ring"]
    assert completions("train", "landscape\n=\nri") == ["landscape=ring"]
    assert completions("train", "nothing") == []


def test_completion_in_bash(cold: Cold, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys\nsys.argv[0] = 'sgdtheory'\nfrom sgdtheory.cli import main; main()"
    for typed, expected in (
        ("sgdtheory tr", "train"),
        ("sgdtheory train landscape=rin", "landscape=ring"),  # codespell:ignore rin
    ):
        monkeypatch.setenv("_SGDTHEORY_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", typed.replace(" ", "\n"))
        monkeypatch.setenv("COMP_CWORD", str(typed.count(" ")))
        assert expected in cold(code=code).out.split()


def test_what_is_odd_about_the_data_is_said_logged_and_kept(
    sgdtheory: Command, tmp_path: Path
) -> None:
    draws = np.random.Generator(np.random.PCG64(0))
    pixels, labels = draws.integers(0, 256, (12, 8, 8), dtype=np.uint8), np.arange(12) % 2
    np.savez(
        tmp_path / "pack.npz",
        train_images=pixels,
        train_labels=labels,
        test_images=pixels[:4],
        test_labels=labels[:4],
    )
    words = (
        "train",
        "model=mlp",
        "data=images",
        "data.path=pack.npz",
        "sgd.steps=2",
        "sgd.batch_size=4",
        "minima=1",
    )
    said = sgdtheory(*words, "executor.workers=1")
    warning = "data pack: 4 of 4 test images are training images too: test errors say too little"
    assert said.code == 0 and said.err.splitlines()[0] == f"warning: {warning}"
    assert results(tmp_path)["warnings"] == [warning]
    (log,) = tmp_path.glob("runs/train/*/log.txt")
    assert warning in log.read_text(encoding="utf-8")


def test_python_m_is_the_command_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sgdtheory", "--version"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    assert (done.returncode, done.stdout) == (0, f"sgdtheory {__version__}\n")
