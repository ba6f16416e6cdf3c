"""`diagnose` from end to end, against plain code."""

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

import sgdtheory
from sgdtheory.diagnostics.sharpness import Sharpness
from sgdtheory.diagnostics.spectrum import Spectrum
from sgdtheory.pipelines.diagnose import Diagnose
from sgdtheory.rng import stream
from tests.conftest import Said, call
from tests.small_cnn import DATA, NET, WORDS

DECAY = 1e-3
# what the command and a plain call are both asked for: some seconds of products less than by default
FEW = {"probes": 2, "steps": 12}
SPECTRUM = [f"diagnostic.spectrum.{name}={number}" for name, number in FEW.items()]


def module_of(seed: int) -> nn.Module:
    """An untrained network whose statistics of batch norm are not those of the data."""
    module = NET.model_at(NET.init(1, stream(seed, "init"))[0])
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            assert part.running_mean is not None
            part.running_mean += 0.3
    return module


def pixels(images: Tensor) -> Tensor:
    return DATA.scaled(images, torch.float32).double()


def plain(module: nn.Module) -> dict[str, float]:
    """What a row should say, in float64 and plain code."""
    module = module.double().eval()
    splits = {
        "train": (DATA.train_inputs, DATA.train_targets),
        "test": (DATA.test_inputs, DATA.test_targets),
    }
    found = _scores(module, splits, "_own_statistics")
    module.train()
    loss = F.cross_entropy(module(pixels(DATA.train_inputs)), DATA.train_targets)
    loss = loss + DECAY / 2 * sum((p.square().sum() for p in module.parameters()), torch.zeros(()))
    loss.backward()  # type: ignore[no-untyped-call]
    found["objective"] = float(loss.detach())
    found["gradient_norm"] = float(
        torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None]).norm()
    )
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    seen: dict[nn.Module, int] = {}
    for part in norms:
        part.momentum = 1.0
        part.register_forward_pre_hook(
            lambda m, x: seen.__setitem__(m, x[0].numel() // x[0].shape[1])
        )
    with torch.no_grad():
        module(pixels(DATA.train_inputs))
        for part in norms:
            assert part.running_var is not None
            part.running_var *= (seen[part] - 1) / seen[part]  # torch keeps the unbiased variance
    return found | _scores(module.eval(), splits, "")


def _scores(
    module: nn.Module, splits: dict[str, tuple[Tensor, Tensor]], end: str
) -> dict[str, float]:
    found = {}
    with torch.no_grad():
        for split, (images, labels) in splits.items():
            outputs = module(pixels(images))
            found[f"{split}_loss{end}"] = float(F.cross_entropy(outputs, labels))
            found[f"{split}_error{end}"] = float((outputs.argmax(1) != labels).double().mean())
    return found


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Said]:
    """Two files with statistics of their own and one without, with two diagnostics."""
    folder = tmp_path_factory.mktemp("diagnosed")
    for seed in (0, 1):
        torch.save({"net": module_of(seed).state_dict()}, folder / f"{seed}.pt")
    bare = {name: x for name, x in module_of(2).state_dict().items() if "running" not in name}
    torch.save(bare, folder / "2.pt")
    said = call(
        "diagnose", *WORDS, f"minima={folder}/*.pt", "diagnostic=[spectrum,sharpness]", *SPECTRUM,
        "diagnostic.sharpness.iterations=3", f"run.root={folder / 'runs'}",
    )  # fmt: skip
    assert said.code == 0, said
    (path,) = (folder / "runs" / "diagnose").iterdir()
    return path, said


def rows_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((path / "results.json").read_text(encoding="utf-8"))[
        "minima"
    ]
    return found


def test_rows_are_what_plain_code_finds(done: tuple[Path, Said]) -> None:
    for seed, row in enumerate(rows_of(done[0])):
        for name, value in plain(module_of(seed)).items():
            if seed < 2 or "own" not in name:
                assert row[name] == pytest.approx(value, rel=2e-5, abs=1e-6), (seed, name)
        assert row["objective_gap"] < 1e-5 and row["train_loss_stderr"] > 0


def test_the_files_own_statistics_are_other_ones_and_null_where_there_are_none(
    done: tuple[Path, Said],
) -> None:
    rows = rows_of(done[0])
    for row in rows[:2]:
        assert abs(row["train_loss_own_statistics"] - row["train_loss"]) > 1e-3
        assert row["test_loss_own_statistics_stderr"] > 0
    for name in ("train_loss", "train_error", "test_loss", "test_error"):
        assert rows[2][f"{name}_own_statistics"] is None
        assert "no statistics" in rows[2][f"{name}_own_statistics_why"]


def test_diagnostics_are_those_of_other_commands_where_they_are_cheap(
    done: tuple[Path, Said],
) -> None:
    theta = sgdtheory.load(done[0]).minima[:1]
    row = rows_of(done[0])[0]
    assert NET.dim * NET.count < 1e7
    for diagnostic in (Spectrum(**FEW), Sharpness(iterations=3)):
        for name, measured in diagnostic(NET, theta)[0].items():
            if measured.value is None:
                assert row[name] is None and row[f"{name}_why"] == measured.why
            else:
                assert row[name] == pytest.approx(measured.value, rel=1e-4, abs=1e-6), name


def test_it_says_what_was_found_and_gives_no_verdict(done: tuple[Path, Said]) -> None:
    path, said = done
    headline = json.loads((path / "results.json").read_text(encoding="utf-8"))["claims"][0]
    assert (
        headline["statement"].startswith("3 points of CNN")
        and "training error" in headline["statement"]
    )
    assert (
        headline["holds"] is None
        and "cannot be said" not in said.out
        and "|∇objective|" in " ".join(said.out.split())
    )
    page = (path / "report.html").read_text(encoding="utf-8")
    assert (
        "with the files' own statistics" in page.replace("&#39;", "'")
        and "cannot be said" not in page
    )
    with (path / "table.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 3 and table[1]["source"].endswith("1.pt: weights of 'net'")
    assert {figure.name for figure in (path / "figures").iterdir()} >= {
        "minima.svg",
        "distances.csv",
    }


def test_each_diagnostic_has_a_table_of_its_own(done: tuple[Path, Said]) -> None:
    """On the page; in results.json every point stays one row with all columns."""
    path, _ = done
    page = (path / "report.html").read_text(encoding="utf-8")
    found = {}
    for section in page.split("<section>")[1:]:
        heading = re.findall("<h2>(.*?)</h2>", section)[0]
        table = section.partition('<table class="numbers')[2].partition("</table>")[0]
        found[heading] = re.findall(r'<th scope="col">(.*?)</th>', table)
    scores, spectrum, sharpness = (
        found[f"The minima{name}"] for name in ("", ": spectrum", ": sharpness")
    )
    assert "test error / %" in scores and "source" in scores
    assert spectrum[:2] == ["", "top eigenvalue / nats"] and "sharpness" not in spectrum
    assert sharpness == ["", "sharpness"]
    assert not set(scores) & {*spectrum[1:], *sharpness[1:]}
    assert all({"train_loss", "top_eigenvalue", "sharpness"} <= row.keys() for row in rows_of(path))


def test_it_is_a_run_like_any_other(done: tuple[Path, Said], tmp_path: Path) -> None:
    path, _ = done
    root = path.parent.parent
    loaded = sgdtheory.load(path)
    assert loaded.minima.shape == (3, NET.dim) and loaded.results["command"] == "diagnose"
    status = call("status", str(path))
    assert status.code == 0 and "5/5" in status.out and "point-2" in status.out
    again = call("diagnose", "--from", str(path / "config.yaml"), f"run.root={root}")
    assert again.code == 0 and "already done" in again.err
    from_run = call("diagnose", f"minima={path}", f"run.root={root}")
    assert (
        from_run.code == 0 and "3 of 3 units are done already" in from_run.err
    )  # the scores; no diagnostic was asked for
    plan = call(
        "diagnose",
        f"minima={path}",
        "diagnostic=[spectrum,noise,critical]",
        *SPECTRUM,
        f"run.root={root}",
        "--dry-run",
    )
    assert plan.code == 0 and "6 units: 2 to do" in " ".join(plan.out.split())
    fresh = call(
        "diagnose",
        f"minima={path}",
        "diagnostic=[spectrum]",
        f"run.root={tmp_path / 'none'}",
        "--dry-run",
    )
    assert "4 units: 4 to do" in fresh.out and not (tmp_path / "none").exists()
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    assert torch.equal(sgdtheory.load(copy).minima, loaded.minima)


def test_a_connect_run_of_the_same_points_is_known_whatever_holds_them(
    done: tuple[Path, Said], tmp_path: Path
) -> None:
    """connect and sweep-temperature know points as diagnose does: by their numbers."""
    path, _ = done
    folder = path.parent.parent.parent
    few = (
        "autoneb.steps=5",
        "autoneb.last_steps=5",
        "baselines.gradients=5",
        "baselines.dense=3",
        "plane=0",
    )
    first = call(
        "connect",
        *WORDS,
        *few,
        f"minima=[{folder / '0.pt'},{folder / '1.pt'}]",
        f"run.root={tmp_path}",
    )
    assert first.code == 0 and "weights of 'net'" in first.err, first
    for seed in (0, 1):
        state = {f"module.{name}": x for name, x in module_of(seed).state_dict().items()}
        torch.save({"state_dict": state}, tmp_path / f"epoch={seed}.ckpt")
    again = call("connect", *WORDS, *few, f"minima={tmp_path}/*.ckpt", f"run.root={tmp_path}")
    assert again.code == 0 and "already done" in again.err, again
    (run,) = (tmp_path / "connect").iterdir()
    (folder / "0.pt").rename(folder / "gone")
    assert sgdtheory.load(run).minima.shape == (2, NET.dim)
    (folder / "gone").rename(folder / "0.pt")


def test_a_sweep_keeps_the_points_it_was_given(tmp_path: Path) -> None:
    """Its minima are polished ones; it is known by those that it was given, and opened without their file."""
    torch.save(torch.linspace(-1, 1, 10), tmp_path / "a.pt")
    few = (
        "sweep.learning_rate=[0.1]",
        "sweep.batch_size=[8]",
        "replicas=2",
        "precision=0.9",
        "steps=400",
    )
    told = call(
        "sweep-temperature",
        "landscape=quadratic",
        *few,
        f"minima={tmp_path / 'a.pt'}",
        f"run.root={tmp_path / 'runs'}",
    )
    assert told.code == 0, told
    (path,) = (tmp_path / "runs" / "sweep-temperature").iterdir()
    assert json.loads((path / "results.json").read_text(encoding="utf-8"))["minima"][0][
        "source"
    ].endswith("a.pt: a point")
    (tmp_path / "a.pt").unlink()
    shutil.move(path, tmp_path / "copy")
    loaded = sgdtheory.load(tmp_path / "copy")
    assert torch.equal(loaded.pipeline.given.points, torch.linspace(-1, 1, 10)[None])
    assert float(loaded.minima.norm()) < 1e-3


def test_formulas_have_points_too(tmp_path: Path) -> None:
    torch.save(torch.tensor([[1.0, 0.5]]), tmp_path / "a.pt")
    told = call(
        "diagnose",
        "landscape=ring",
        f"minima={tmp_path / 'a.pt'}",
        f"run.root={tmp_path}",
        "diagnostic=[spectrum]",
    )
    assert told.code == 0, told
    (row,) = rows_of(next((tmp_path / "diagnose").iterdir()))
    assert (
        row["train_loss_own_statistics"] is None
        and row["gradient_norm"] > 0
        and row["top_eigenvalue"] is not None
    )


def test_large_landscapes_have_a_budget(tmp_path: Path) -> None:
    theta = NET.init(1, stream(0, "init"))
    torch.save(theta, tmp_path / "a.pt")
    large = Diagnose(NET, (tmp_path / "a.pt",), diagnostic={"spectrum": Spectrum()})
    large.landscape.count = 10_000_000  # type: ignore[attr-defined]
    brief = large._affordable(Spectrum())
    del large.landscape.__dict__["count"]
    assert brief == Spectrum().within(32)
