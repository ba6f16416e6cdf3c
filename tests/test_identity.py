"""An identity is whole: whatever is computed with is a part of it, or is compared, and what differs
is said."""

import json
import os
import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sgdtheory.commandline.front import launch
from sgdtheory.commandline.sources import digest_of_sources, sources_of
from sgdtheory.execution import versions
from sgdtheory.pipelines.origin import origin_of
from sgdtheory.report.figures.figure import RunData
from sgdtheory.runs.digests import digest, digest_of_content
from sgdtheory.runs.folder import CorruptFile, Folder
from sgdtheory.statistics.numbers import in_full
from sgdtheory.temperature.cell import Cell
from tests.conftest import Command

FEW = (
    "device=cpu",
    "threads=1",
    "executor.workers=1",
    "minima=1",
    "sgd.steps=3",
    "sgd.batch_size=4",
)
NET = """
from torch import nn
{above}
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(64, 10)
    def forward(self, x):
        return self.a(x.flatten(1)) * {factor}
"""


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(path: Path, out: Path | None = None) -> Path:
        RunData.read(path)
        Folder(path).write_text("report.html", "drawn")
        return path / "report.html"

    monkeypatch.setattr("sgdtheory.report.page.draw", drawn)


def hash_of(*words: str, trust: tuple[str, ...] = ()) -> str:
    """The identity of a `train`, without doing it."""
    found: list[str] = []
    raised = launch(
        "train", list(words), trust, None, lambda task: found.append(digest(task.science))
    )
    assert not raised, raised
    return found[0]


# pictures


def folder_of(path: Path, noise: int = 0) -> Path:
    """Two classes of four pictures of 8 × 8 in each split."""
    chance = np.random.Generator(np.random.PCG64(noise))
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (path / split / name).mkdir(parents=True)
            for k in range(4):
                pixels = chance.integers(0, 256, (8, 8), dtype=np.uint8)
                Image.fromarray(pixels).save(path / split / name / f"{k}.png")
    return path


def linked(path: Path, target: Path, depth: int) -> Path:
    """A folder that is a link, or whose splits, classes or pictures are links."""
    if depth == 0:
        path.symlink_to(target)
        return path
    path.mkdir()
    for entry in target.iterdir():
        linked(path / entry.name, entry, depth - 1)
    return path


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_what_lies_behind_a_link_is_what_is_read(
    depth: int, sgdtheory: Command, tmp_path: Path
) -> None:
    plain = folder_of(tmp_path / "plain")
    noise = folder_of(tmp_path / "noise", noise=1)
    here = linked(tmp_path / "here", plain, depth)
    words = (*FEW, "data=images", "data.path=here", "model=linear")
    same = hash_of(*FEW, "data=images", "data.path=plain", "model=linear")
    assert hash_of(*words) == same
    for path in sorted(here.rglob("*"), reverse=True) if depth else []:
        path.unlink() if path.is_symlink() else path.rmdir()
    here.unlink() if depth == 0 else here.rmdir()
    linked(here, noise, depth)
    assert hash_of(*words) != same


def test_noise_behind_a_link_is_not_already_done(sgdtheory: Command, tmp_path: Path) -> None:
    folder_of(tmp_path / "plain"), folder_of(tmp_path / "noise", noise=1)
    words = ("train", *FEW, "data=images", "data.path=here", "model=linear")
    linked(tmp_path / "here", tmp_path / "plain", 1)
    assert sgdtheory(*words).code == 0 and "already done" in sgdtheory(*words).err
    for link in (tmp_path / "here").iterdir():
        link.unlink()
        link.symlink_to(tmp_path / "noise" / link.name)
    said = sgdtheory(*words)
    assert (
        said.code == 0
        and "already done" not in said.err
        and len(list(Path("runs/train").iterdir())) == 2
    )


def test_files_that_are_not_read_are_no_part_of_it(sgdtheory: Command, tmp_path: Path) -> None:
    here = folder_of(tmp_path / "here")
    words = (*FEW, "data=images", "data.path=here", "model=linear")
    before = hash_of(*words)
    for name in (
        "README.md",
        "train/list.txt",
        "train/cat/.DS_Store",
        "train/cat/notes.txt",
        "extra/cat/0.png",
    ):
        (here / name).parent.mkdir(exist_ok=True, parents=True)
        (here / name).write_bytes(b"x")
    assert hash_of(*words) == before
    (here / "train" / "cat" / "3.png").rename(here / "train" / "cat" / "4.png")
    assert hash_of(*words) != before


def test_links_that_lead_back_up_end(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "c").write_text("1", encoding="utf-8")
    before = digest_of_content(folder)
    (folder / "b" / "up").symlink_to(folder)
    assert digest_of_content(folder) == before


# code


def write(path: Path, text: str) -> None:
    """A source that is newer than what Python has compiled of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    later = path.stat().st_mtime_ns + 2_000_000_000 + len(text)
    os.utime(path, ns=(later, later))


@pytest.fixture
def edited(sgdtheory: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The command as a new process would see the user's modules."""

    def run(*words: str) -> Any:
        for name in [name for name in sys.modules if name.split(".")[0] in ("mine", "beside")]:
            monkeypatch.delitem(sys.modules, name)
        return sgdtheory(*words)

    return run


MINE = ("model=custom", "model.factory=mine:Net", "--trust", "mine")


@pytest.mark.parametrize(
    "file", ["mine.py", "mine/__init__.py", "mine/deep/er.py", "beside.py", "beside/__init__.py"]
)
def test_an_edited_network_is_never_already_done(file: str, edited: Any, tmp_path: Path) -> None:
    above = "import beside" if "beside" in file else ""
    net = NET.format(above=above, factor="1")
    write(tmp_path / ("mine.py" if file == "mine.py" or above else "mine/__init__.py"), net)
    write(tmp_path / file, net if file in ("mine.py", "mine/__init__.py") else "x = 1\n")
    assert edited("train", *FEW, *MINE).code == 0
    said = edited("train", *FEW, *MINE)
    assert said.code == 0 and "already done" in said.err
    write(
        tmp_path / file,
        NET.format(above=above, factor="2")
        if "Net" in (tmp_path / file).read_text(encoding="utf-8")
        else "x = 2\n",
    )
    said = edited("train", *FEW, *MINE)
    assert said.code == 0 and "already done" not in said.err
    assert (
        len(list(Path("runs/train").iterdir())) == 2
        and len(list(Path("runs/units").iterdir())) == 2
    )
    said = edited("train", *FEW, *MINE, "minima=2")  # both of the network that there is now
    assert said.code == 0 and "1 of 2 units are done already" in said.err
    units = [
        json.loads(file.read_text(encoding="utf-8"))["science"]
        for file in Path("runs/units").glob("*/unit.json")
    ]
    assert sorted(unit["index"] for unit in units) == [0, 0, 1]


def test_a_run_of_code_that_was_edited_says_so(edited: Any, tmp_path: Path) -> None:
    import sgdtheory as package
    from sgdtheory.errors import UserError

    write(tmp_path / "mine.py", NET.format(above="", factor="1"))
    assert edited("train", *FEW, *MINE, "minima=2", "run.dir=here").code == 0
    write(tmp_path / "mine.py", NET.format(above="", factor="2"))
    said = edited("train", *FEW, *MINE, "minima=2", "run.dir=here")
    assert (
        said.code == 2
        and "here: the code or the data of its landscape have been changed since" in said.err
    )
    with pytest.raises(UserError, match="have been changed since"):
        package.load("here", trust=["mine"])
    said = edited("connect", *MINE, "minima=here", "--dry-run", *FEW[:3])
    assert (
        said.code == 0
        and "warning: the code or the data of the landscape of here have been changed since"
        in said.err
    )
    assert edited("train", *FEW, *MINE, "minima=2").code == 0
    write(tmp_path / "mine.py", NET.format(above="", factor="3"))
    said = edited("connect", *MINE, "--dry-run", *FEW[:3])
    assert (
        said.code == 2
        and "is of this landscape, but the code or the data of its landscape have been changed"
        in said.err
    )


def test_sources_are_those_that_are_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    write(
        tmp_path / "one.py",
        "def f():\n    from two import x\n    import torch, three.deep\nimport sgdtheory\n",
    )
    write(tmp_path / "two.py", "import one\n")
    for name in (
        "three/__init__.py",
        "three/deep.py",
        "three/.hidden/x.py",
        "four.py",
        "sgdtheory/x.py",
        "one.txt",
    ):
        write(tmp_path / name, "")
    assert sorted(sources_of("one")) == ["one.py", "three/__init__.py", "three/deep.py", "two.py"]
    assert sorted(sources_of("three")) == ["three/__init__.py", "three/deep.py"]
    before = digest_of_sources("one:f")
    write(tmp_path / "four.py", "y = 1")
    assert digest_of_sources("one.f") == before
    write(tmp_path / "three" / "deep.py", "y = 1")
    assert digest_of_sources("one.f") != before
    assert digest_of_sources("no_such_package.f") is None and digest_of_sources("sys.exit") is None
    assert "torch" not in {
        name.split("/")[0] for name in sources_of("torchvision")
    }  # installed: itself alone


# data


@pytest.mark.parametrize(("name", "kind"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_other_bytes_under_a_data_root_are_another_run(
    name: str, kind: str, sgdtheory: Command, tmp_path: Path
) -> None:
    raw = tmp_path / "data" / kind / "raw"
    raw.mkdir(parents=True)
    pixels = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (20, 28, 28), dtype=np.uint8)

    def put(images: np.ndarray, labels: np.ndarray) -> str:
        for split, rows in (("train", slice(0, 12)), ("t10k", slice(12, 20))):
            for what, array in (("images-idx3", images[rows]), ("labels-idx1", labels[rows])):
                header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
                (raw / f"{split}-{what}-ubyte").write_bytes(header + array.tobytes())
        return hash_of(*FEW, f"data={name}", "data.download=false", "model=linear")

    labels = (np.arange(20) % 10).astype(np.uint8)
    other = pixels.copy()
    other[19, 3, 3] ^= 1  # one bit of a test image
    found = [
        put(pixels, labels),
        put(other, labels),
        put(pixels, labels[::-1].copy()),
        put(pixels, labels),
    ]
    assert len({*found[:3]}) == 3 and found[3] == found[0]


# versions


def test_another_version_is_said_and_the_result_stays(
    sgdtheory: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("train", "landscape=double_well", "polish_steps=5", *FEW)
    assert sgdtheory(*words).code == 0
    before = {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()}
    assert "computed with" not in sgdtheory(*words).err
    monkeypatch.setattr("sgdtheory.execution.versions.version", lambda name: "9.9.0+cpu")
    said = sgdtheory(*words)
    here = versions._short("torch", "9.9.0+cpu")
    assert (
        said.code == 0
        and f", this is {here}: the result stays" in said.err
        and "computed with torch 2." in said.err
    )
    assert {path: path.read_bytes() for path in before} == before
    said = sgdtheory(
        *words, "minima=2"
    )  # one unit of the old version, one of this: said there and in the results
    assert said.code == 0 and "warning: minimum-0: computed with torch 2." in said.err
    two = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in Path("runs/train").glob("*/results.json")
    ]
    assert [
        any("minimum-0: computed with" in line for line in found["warnings"]) for found in two
    ].count(True) == 1
    monkeypatch.setattr("sgdtheory.execution.versions.version", lambda name: "9.9.3")
    monkeypatch.setattr("sgdtheory.execution.versions.__version__", "0.0.1")
    assert "computed with sgdtheory" in sgdtheory(*words).err


# names


@given(st.floats(1e-300, 1e300))
@settings(deadline=None)
def test_names_keep_all_digits(rate: float) -> None:
    assert float(in_full(rate)) == rate


def test_cells_that_differ_have_names_that_differ() -> None:
    names = {
        Cell(rate, 8, 0.0, "iid", 2, 0.1, 9).name for rate in (0.1, 0.1000000001, 0.1 + 2**-56)
    }
    assert len(names) == 3 and "0.1-8" in names


def test_cells_that_nearly_agree_have_a_file_each(sgdtheory: Command) -> None:
    words = (
        "sweep-temperature",
        "landscape=quadratic",
        "sweep.learning_rate=[0.1,0.1000000001]",
        "sweep.batch_size=[8]",
    )
    said = sgdtheory(*words, "replicas=2", "sgd.steps=300", *FEW[:3])
    assert said.code == 0, said.err
    (run,) = Path("runs/sweep-temperature").iterdir()
    assert sorted(path.name for path in run.glob("trajectories/*")) == [
        "0.1-8.safetensors",
        "0.1000000001-8.safetensors",
    ]


# what a manifest vouches for


@pytest.mark.parametrize("name", ["results.json", "table.csv", "metrics.jsonl"])
def test_what_was_edited_is_not_shown_as_measured(
    name: str, sgdtheory: Command, tmp_path: Path
) -> None:
    import sgdtheory as package

    words = ("train", "model=mlp", "model.hidden=[4]", *FEW)
    assert sgdtheory(*words).code == 0
    (run,) = Path("runs/train").iterdir()
    whole = (run / name).read_bytes()
    assert "not as measured" not in sgdtheory("status").out and package.load(run)
    (run / name).write_bytes(whole.replace(b"0", b"1", 1))
    for said in (sgdtheory("report", str(run)), sgdtheory(*words)):
        assert (
            said.code == 1
            and f"{name} is not the file that this run wrote" in said.err
            and not said.out
        )
    with pytest.raises(CorruptFile, match=f"{name} is not the file"):
        package.load(run)
    for status in (sgdtheory("status"), sgdtheory("status", str(run))):
        assert status.code == 0
        if name != "metrics.jsonl":  # too long for a glance
            assert (
                "not as measured" in status.out
                and name in status.out
                and "training error" not in status.out
            )
    (run / name).unlink()
    assert sgdtheory(*words).code == 0 and (run / name).exists()


def test_a_configuration_that_was_edited_is_refused_at_every_door(sgdtheory: Command) -> None:
    import sgdtheory as package
    from sgdtheory.errors import UserError

    few = ("model=mlp", "model.hidden=[4]", *FEW[:3], "sgd.steps=3", "sgd.batch_size=4")
    assert sgdtheory("train", *few, "minima=2", "snapshots=2").code == 0
    (run,) = Path("runs/train").iterdir()
    config = run / "config.yaml"
    whole = config.read_text(encoding="utf-8")
    edited = re.sub("weight_decay: .*", "weight_decay: 0.3", whole)
    assert edited != whole
    config.write_text(edited, encoding="utf-8")
    words = f"{config} was edited since the run began: put it back, or give it to --from"
    for said in (
        sgdtheory("diagnose", f"minima={run}", "--dry-run"),
        sgdtheory("connect", f"minima={run}", "--dry-run"),
        sgdtheory("sweep-temperature", f"minima={run}", "--dry-run"),
        sgdtheory("train", f"start={run}/snapshots/0.safetensors@last", "--dry-run"),
        sgdtheory("train", *few, "minima=2", "snapshots=2"),
        sgdtheory("report", str(run)),
        sgdtheory("report", str(run), str(run)),
    ):
        assert said.code == 2 and words in said.err, said
    with pytest.raises(UserError, match="was edited since the run began"):
        package.load(run)
    said = sgdtheory("connect", "model=mlp", "model.hidden=[4]", *FEW[:3], "--dry-run")
    assert f"{run} is passed over: {words}" in said.err
    assert sgdtheory("train", "--from", str(config), "--dry-run").code == 0  # a new run


def test_an_edited_error_is_not_told_of_the_minima_that_are_joined(sgdtheory: Command) -> None:
    few = ("model=mlp", "model.hidden=[4]", *FEW[:3], "sgd.steps=3", "sgd.batch_size=4")
    assert sgdtheory("train", *few, "minima=2").code == 0
    (run,) = Path("runs/train").iterdir()
    found = Folder(run).read_json("results.json")
    Folder(run).write_json(
        "results.json",
        {**found, "minima": [{**row, "train_error": 0.0} for row in found["minima"]]},
    )
    said = sgdtheory("connect", f"minima={run}", *FEW[:3], "--dry-run")
    assert said.code == 1 and "results.json is not the file that this run wrote" in said.err
    said = sgdtheory("connect", "model=mlp", "model.hidden=[4]", *FEW[:3], "--dry-run")
    assert "is of this landscape, but results.json is not the file that this run wrote" in said.err
    (run / "results.json").unlink()
    assert origin_of((run / "minima.safetensors",))["minima"] is None


def test_rows_of_a_unit_that_were_edited_are_not_taken_for_logged(sgdtheory: Command) -> None:
    words = ("train", "model=mlp", "model.hidden=[4]", *FEW)
    assert sgdtheory(*words).code == 0
    (log,) = Path("runs/units").glob("*/metrics.jsonl")
    log.write_bytes(log.read_bytes().replace(b"0", b"1", 1))
    said = sgdtheory(*words, "run.name=again")
    assert said.code == 1 and "metrics.jsonl is not what this unit wrote" in said.err


def test_connect_says_which_newer_run_it_passed_over(
    sgdtheory: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ("model=mlp", "model.hidden=[4]", *FEW[:3], "sgd.steps=3", "sgd.batch_size=4")
    assert sgdtheory("train", *few, "minima=2").code == 0
    (old,) = Path("runs/train").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr("sgdtheory.pipelines.train.describe_point", lambda *_, **__: 1 / 0)
        assert sgdtheory("train", *few, "minima=2", "seed=1").code == 1
    said = sgdtheory("connect", "model=mlp", "model.hidden=[4]", *FEW[:3], "--dry-run")
    assert said.code == 0 and f"minima of {old}" in said.err and "is newer, but failed" in said.err
    newer = next(path for path in Path("runs/train").iterdir() if path != old)
    (newer / "manifest.json").write_text("{", encoding="utf-8")
    said = sgdtheory("connect", "model=mlp", "model.hidden=[4]", *FEW[:3], "--dry-run")
    assert (
        said.code == 0 and f"minima of {old}" in said.err and f"{newer} is passed over" in said.err
    )
