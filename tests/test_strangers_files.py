"""A stranger's file is data: whatever stands in it, nothing is called, imported, or written elsewhere.

Every test leaves a canary alone: a file that no test may create.
"""

import importlib
import inspect
import json
import os
import pkgutil
import shutil
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import sgdtheory as package
from sgdtheory.commandline.schema import Checker
from sgdtheory.commandline.targets import CONFIGS, targets
from sgdtheory.errors import UserError
from sgdtheory.report.rendering import TEMPLATES
from sgdtheory.runs.folder import Folder
from sgdtheory.runs.task import WORKER
from sgdtheory.runs.unit import Unit, UnitFolder
from tests.conftest import Command, Said, call
from tests.forks import Ended, warm

TOUCH = [sys.executable, "-c", "open('canary', 'w')"]
EVIL = "hydra.callbacks.x._target_"  # what Hydra would build by itself
CALLS: list[dict[str, Any]] = [
    {"_target_": "sgdtheory.commandline.load.load", "path": "evil", "trust": ["subprocess"]},
    {
        "_target_": "sgdtheory.commandline.front.launch",
        "command": "train",
        "words": [f"+{EVIL}=os.abort"],
        "trust": [],
    },
    {"_target_": "sgdtheory.commandline.task.task", "command": "train", "cfg": {}},
    {"_target_": "sgdtheory.commandline.schema.build", "thing": {}},
    {"_target_": "sgdtheory.load", "run": "evil", "trust": ["subprocess"]},
    {"_target_": "sgdtheory:load", "run": "evil", "trust": ["subprocess"]},
    {
        "_target_": "sgdtheory.notebook.load_run",
        "path": "evil",
        "trust": ["subprocess"],
        "device": "cpu",
    },
    {"_target_": "sgdtheory.runs.folder.Folder", "path": "canary"},
    {"_target_": "sgdtheory.runs.folder.Folder.write_text", "name": "canary", "text": ""},
    {"_target_": "sgdtheory.runs.folder.os.system", "command": "touch canary"},
    {"_target_": "sgdtheory.execution.workers._started", "run": "evil"},
    {"_target_": "sgdtheory.commandline.worker.main"},
    {"_target_": "sgdtheory.commandline.worker._loaded", "facts": {"run": "evil"}},
    {"_target_": "sgdtheory.cli.main"},
    {"_target_": "sgdtheory.__main__.main"},
    {"_target_": "sgdtheory.report.page.draw", "run_path": "evil"},
    {"_target_": "sgdtheory.execution.loop.subprocess.run", "args": TOUCH},
    {"_target_": "sgdtheory.paths.autoneb.AutoNEB"},
    {"_target_": "sgdtheory.models.custom.custom", "_partial_": True, "factory": "subprocess:run"},
    {
        "_target_": "sgdtheory.models.custom.custom",
        "_partial_": True,
        "factory": "sgdtheory.cli:main",
    },
    {"_target_": "subprocess.run", "args": TOUCH},
    {"_target_": "os.system", "command": "touch canary"},
    {"_target_": "builtins.exec", "source": "open('canary', 'w')"},
    {"_target_": "hydra.utils.instantiate", "config": {}},
    {"_target_": "torch.utils.collect_env.run", "command": "touch canary"},
    {"_target_": "importlib.import_module", "name": "evil"},
    {"_target_": ["os.system"]},
    {"_target_": "sgdtheory.landscapes.ring.Ring\n.x"},
]
PLACES = ("landscape", "sgd", "sgd.schedule", "diagnostic.x", "minima", "polish", "")
NOT_OBEYED: dict[str, Any] = {
    "hydra.callbacks": {
        "x": {"_target_": "torch.utils.collect_env.run", "command": "touch canary"}
    },
    "hydra.run.dir": "canary",
    "hydra.output_subdir": "canary",
    "hydra.job.env_set": {"LD_PRELOAD": "evil.so"},
    "hydra.job_logging": {
        "version": 1,
        "handlers": {"x": {"class": "logging.FileHandler", "filename": "canary"}},
    },
    "hydra.job_logging.handlers": {"x": {"()": "evil.touch"}},
    "hydra.searchpath": ["pkg://evil"],
    "hydra.launcher": {"_target_": "evil.touch"},
    "hydra.sweeper": {"_target_": "evil.touch"},
    "run.root": "canary",
    "run.dir": "canary",
    "run.name": "../../canary",
    "executor": {"_target_": "evil.touch"},
    "executor.workers": {"_target_": "evil.touch"},
    "device": "cuda:7",
    "threads": 10**9,
    "trust": ["evil"],
    "defaults": [{"landscape": "ring"}, "/evil"],
}


GOOD = (
    "train",
    "landscape=ring",
    "minima=2",
    "sgd.steps=3",
    "polish=none",
    "executor.workers=1",
    "threads=1",
    "run.name=good",
)


@pytest.fixture
def canary(sgdtheory: Command, tmp_path: Path) -> Iterator[Path]:
    """The working directory, with a module that nobody trusts."""
    (tmp_path / "evil.py").write_text(
        "open('canary', 'w')\ndef touch(*args, **kw): open('canary', 'w')\n", encoding="utf-8"
    )
    before = set(sys.modules)
    yield tmp_path
    assert not list(tmp_path.rglob("canary*")) and not list(tmp_path.parent.glob("canary*"))
    assert not {name for name in set(sys.modules) - before if name.split(".")[0] == "evil"}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one's own, as it might be passed on."""
    home = tmp_path_factory.mktemp("good")
    said = call(*GOOD, f"run.root={home / 'runs'}")
    assert said.code == 0, said.err
    return next((home / "runs" / "train").iterdir())


@pytest.fixture
def run(good: Path, canary: Path) -> Path:
    """That run, in a stranger's hands: their/train/x."""
    shutil.copytree(good.parent.parent, canary / "their")
    return next(Path("their/train").iterdir())


def edit(run: Path, name: str, **facts: Any) -> None:
    """Change a file of a run, and the digest that vouches for it: a stranger can do both."""
    folder = Folder(run)
    written = folder.write_json(name, {**folder.read_json(name), **facts})
    files = folder.read_json("manifest.json")["files"]
    if name in files:
        edit(run, "manifest.json", files={**files, name: written})


def place(run: Path, key: str, value: Any) -> Path:
    """Put a value at a key with dots in a run's config.yaml, and have its manifest fit."""
    file = run / "config.yaml"
    tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not key:
        tree |= value
    else:
        *parents, last = key.split(".")
        inner = tree
        for parent in parents:
            inner[parent] = inner[parent] if isinstance(inner.get(parent), dict) else {}
            inner = inner[parent]
        inner[last] = value
    rewrite(run, yaml.safe_dump(tree))
    return file


def rewrite(run: Path, text: str) -> None:
    """Another config.yaml, with a manifest that fits."""
    written = Folder(run).write_text("config.yaml", text)
    edit(run, "manifest.json", config_sha256=written)


def refused(said: Said, *words: str) -> None:
    assert said.code == 2, said
    assert 1 <= len(said.err.splitlines()) <= 3 and "Traceback" not in said.err, said.err
    assert [word for word in words if word not in said.err] == [], said.err


# a closed list of targets


def everything() -> Iterator[tuple[str, Any]]:
    """All that can be called in any module of the package, by every name it has there."""
    for module in pkgutil.walk_packages(package.__path__, "sgdtheory."):
        if not module.name.endswith("__main__"):
            for name, thing in vars(importlib.import_module(module.name)).items():
                if callable(thing):
                    yield f"{module.name}.{name}", thing
    yield from (
        (f"sgdtheory.{name}", thing) for name, thing in vars(package).items() if callable(thing)
    )


def test_nothing_outside_the_list_is_a_target() -> None:
    listed, looked = set(), 0
    for name, _ in everything():
        for spelled in (name, ":".join(name.rsplit(".", 1))):
            checker, looked = Checker(), looked + 1
            if checker.resolve(spelled, "x") is not None:
                listed.add(name)
            else:
                assert len(checker.faults) == 1 and "did you mean 'sgdtheory." in checker.faults[0]
    assert looked > 3000 and listed == targets()


def test_the_list_is_what_the_configurations_build() -> None:
    def named(tree: Any) -> Iterator[str]:
        for key, value in (
            tree.items()
            if isinstance(tree, dict)
            else enumerate(tree if isinstance(tree, list) else ())
        ):
            yield from [value] if key == "_target_" else named(value)

    found = {
        name
        for file in CONFIGS.rglob("*.yaml")
        for name in named(yaml.safe_load(file.read_text(encoding="utf-8")))
    }
    assert found == targets() and len(found) > 60
    for name in found:
        checker = Checker()
        target = checker.resolve(name, "x")
        assert target is not None and (
            inspect.isclass(target) or inspect.isclass(inspect.signature(target).return_annotation)
        )


def test_what_a_trusted_package_imports_of_ours_is_on_the_list_too(
    canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (canary / "mine_of_strangers.py").write_text(
        "from sgdtheory.commandline.load import load\nfrom sgdtheory.optim.schedule import Cosine\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(canary)
    checker = Checker(("mine_of_strangers",))
    assert checker.resolve("mine_of_strangers.Cosine", "x") is not None
    assert checker.resolve("mine_of_strangers.load", "x") is None
    assert Checker(("sgdtheory",)).resolve("sgdtheory.load", "x") is None


@pytest.mark.parametrize("what", CALLS, ids=lambda what: str(what["_target_"]).replace("\n", " "))
def test_a_call_in_a_strangers_configuration(what: dict[str, Any], run: Path) -> None:
    kept, some = (run / "config.yaml").read_text(encoding="utf-8"), CALLS.index(what) % len(PLACES)
    for number, key in enumerate(PLACES):
        file = place(run, key, what)
        with pytest.raises(UserError):
            package.load(run)
        if number == some:  # a second each
            refused(call("train", "--from", str(file), *["--dry-run"][: some % 2]))
        if key == "landscape" and not some:
            refused(call("connect", f"minima={run}", "--dry-run"))
        file.write_text(kept, encoding="utf-8")
    assert call("status", str(run)).code == 0 and not Path("runs").exists()


@pytest.mark.parametrize(
    "word",
    [
        "landscape._target_=sgdtheory.load",
        "executor._target_=sgdtheory.cli.main",
        "executor._target_=sgdtheory.optim.schedule.Cosine",
        "+executor.x={_target_:os.system}",
        "executor={_target_:subprocess.run}",
        "+diagnostic.x={_target_:sgdtheory.runs.folder.digest}",
        "+diagnostic.x={_target_:sgdtheory.landscapes.ring.Ring}",
        "diagnostic={_target_:sgdtheory.diagnostics.noise.Noise}",
        "sgd.schedule={_target_:sgdtheory.paths.presets.fast}",
        "minima={_target_:sgdtheory.optim.schedule.Cosine}",
        "polish={_target_:sgdtheory.optim.schedule.Cosine}",
        "_target_=sgdtheory.cli.main",
        "_target_=sgdtheory.models.mlp.MLP",
        "+hydra.callbacks.x._target_=evil.touch",
        "+hydra.job.env_set.PATH=evil",
        "hydra.searchpath=[pkg://evil]",
        "hydra.launcher._target_=evil.touch",
        "hydra/job_logging=default",
        "+hydra.sweeper.params._target_=evil.touch",
    ],
)
def test_a_call_on_the_command_line(word: str, canary: Path) -> None:
    refused(call("train", "landscape=quadratic", word))
    refused(
        call("train", "landscape=quadratic", word, *(["-m"] if "hydra" in word else ["--dry-run"]))
    )
    assert not Path("runs/train").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("landscape/mine.yaml", "_target_: sgdtheory.commandline.load.load\npath: x\n"),
        (
            "landscape/mine.yaml",
            "# @package _global_\nhydra:\n  callbacks:\n    x: {_target_: evil.touch}\n",
        ),
        ("landscape/mine.yaml", "# @package hydra.callbacks.x\n_target_: evil.touch\n"),
        ("landscape/mine.yaml", "_target_: evil.touch\n"),
        ("sgd/mine.yaml", "_target_: sgdtheory.landscapes.ring.Ring\n"),
        ("executor/mine.yaml", "_target_: sgdtheory.optim.schedule.Cosine\n"),
        (
            "diagnostic/mine.yaml",
            "# @package diagnostic.mine\n_target_: sgdtheory.runs.folder.digest\n",
        ),
    ],
)
def test_a_call_in_a_folder_of_configurations(name: str, text: str, canary: Path) -> None:
    file = Path("conf", name)
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    word = f"{file.parent.name}={'[mine]' if 'diagnostic' in name else 'mine'}"
    rest = [] if word.startswith("landscape") else ["landscape=quadratic"]
    refused(call("train", "--config-dir", "conf", word, *rest))


def test_a_root_configuration_of_anothers_reads_no_package(canary: Path) -> None:
    Path("conf").mkdir()
    text = "defaults: [train, _self_]\nhydra:\n  searchpath: [pkg://evil]\n"
    Path("conf/mine.yaml").write_text(text, encoding="utf-8")
    refused(
        call("train", "landscape=quadratic", "--config-dir", "conf", "-cn", "mine"), "pkg://evil"
    )


# where, how, and whom to trust are the command line's


@pytest.mark.parametrize("key", NOT_OBEYED)
def test_sections_of_a_file_that_are_not_taken(key: str, run: Path) -> None:
    file = place(run, key, NOT_OBEYED[key])
    said = call("train", "--from", str(file), "executor.workers=1", "--dry-run")
    assert said.code == 0, said.err
    told = said.err.splitlines()
    assert (
        len(told) == 1
        and "not taken" in told[0]
        and (key == "defaults" or key.split(".")[0] in told[0])
    )
    if key in ("hydra.callbacks", "run.dir", "executor"):  # two seconds each
        said = call("connect", f"minima={run}", "executor.workers=1", "--dry-run")
        assert said.code == 0, said.err
    package.load(run)


def test_a_name_is_kept(run: Path) -> None:
    said = call("train", "--from", str(run / "config.yaml"), "executor.workers=1", "--dry-run")
    assert f"in runs/train/{run.name}\n" in said.out
    place(run, "run.name", "other-name_2")
    said = call("train", "--from", str(run / "config.yaml"), "executor.workers=1", "--dry-run")
    assert "in runs/train/other-name_2-" in said.out


@pytest.mark.parametrize(
    "value",
    [
        "${oc.env:HOME}",
        "${oc.env:HOME,x}",
        "${oc.decode:'1'}",
        "${oc.create:{a:1}}",
        "${oc.select:run}",
        "${oc.dict.keys:run}",
        "${oc.deprecated:run}",
        "${hydra:runtime.cwd}",
        "${now:%Y}",
        "${python_version:}",
        "${${seed}:x}",
        "a${seed}${oc.env:HOME}",
        "${ oc.env:HOME }",
    ],
)
def test_what_a_file_would_read_from_outside(value: str, run: Path) -> None:
    file = place(run, "seed", value)
    with pytest.raises(UserError, match="is not followed"):
        package.load(run)
    refused(call("train", "--from", str(file), "--dry-run"), "is not followed")
    refused(call("connect", f"minima={run}", "--dry-run"), "is not followed")


def test_what_was_read_from_outside_is_kept_as_it_was_read(
    canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SEED", "7")
    words = (
        "landscape=quadratic",
        "seed=${oc.env:MY_SEED}",
        "sgd.steps=2",
        "minima=1",
        "executor.workers=1",
    )
    assert call("train", *words).code == 0
    monkeypatch.delenv("MY_SEED")
    (made,) = Path("runs/train").iterdir()
    text = (made / "config.yaml").read_text(encoding="utf-8")
    assert "seed: '7'\n" in text and "schedule: ${schedule}" in text and "oc." not in text
    assert package.load(made).config["seed"] == 7
    assert call("train", "--from", str(made / "config.yaml"), "--dry-run").code == 0


def test_trust_of_a_manifest_is_not_obeyed(run: Path) -> None:
    edit(run, "manifest.json", trust=["evil", "subprocess"])
    place(run, "landscape", {"_target_": "evil.touch"})
    refused(call("train", "landscape=ring", f"run.dir={run}", "executor.workers=1"))
    refused(
        call("train", "--from", str(run / "config.yaml"), "--dry-run"),
        "'evil.touch' is not trusted",
        "--trust evil",
    )
    refused(
        call("connect", f"minima={run}", "--dry-run"), "'evil.touch' is not trusted", "--trust evil"
    )
    with pytest.raises(UserError, match=r"'evil.touch' is not trusted.*--trust evil"):
        package.load(run)


def test_the_users_own_command_over_a_strangers_runs(run: Path) -> None:
    """It is known by its digest: nothing in it is built to be compared."""
    shutil.copytree(run.parent.parent, "runs")
    mine = Path("runs/train", run.name)
    words = (
        "train",
        "landscape=ring",
        "minima=2",
        "sgd.steps=3",
        "polish=none",
        "executor.workers=1",
        "run.name=good",
    )
    edit(mine, "manifest.json", trust=["evil"], status="interrupted", config_sha256=None)
    place(mine, "landscape", {"_target_": "evil.touch"})
    assert call(*words).code == 0


def test_workers_trust_what_the_command_line_trusts(run: Path) -> None:
    edit(run, "manifest.json", trust=["evil"])
    place(run, "landscape", {"_target_": "evil.touch"})
    theirs, ours = Pipe(duplex=False)
    order = {"run": str(run), "log": str(run / "log.txt"), "device": "cpu", "workers": 1}
    ours.send_bytes(json.dumps({**order, "threads": 1, "trust": []}).encode())
    done = subprocess.run([sys.executable, "-m", WORKER], stdin=theirs.fileno())
    assert done.returncode
    assert "not trusted" in (run / "log.txt").read_text(encoding="utf-8")


def test_what_lies_beside_a_trusted_package_shadows_nothing(canary: Path) -> None:
    for name in (
        "sklearn",
        "torch",
        "numpy",
        "yaml",
        "hydra_plugins/evil_plugin",
        "sitecustomize",
        "random",
    ):
        (canary / f"{name}.py").parent.mkdir(exist_ok=True)
        (canary / f"{name}.py").write_text("open('canary', 'w')\n", encoding="utf-8")
    (canary / "evil-1.0.dist-info").mkdir()
    (canary / "evil-1.0.dist-info/METADATA").write_text(
        "Name: evil\nVersion: 1.0\n", encoding="utf-8"
    )
    points = "[torch.backends]\nx = evil:touch\n[pydantic]\nx = evil:touch\n"
    (canary / "evil-1.0.dist-info/entry_points.txt").write_text(points, encoding="utf-8")
    (canary / "beside.py").write_text("SIZE = 3\n", encoding="utf-8")
    net = "import torch, sklearn, beside\ndef net(shape, classes):\n    import yaml\n    return torch.nn.Sequential(\n"
    net += "        torch.nn.Flatten(), torch.nn.Linear(64, beside.SIZE), torch.nn.Linear(beside.SIZE, classes))\n"
    (canary / "nets_of_strangers.py").write_text(net, encoding="utf-8")
    words = [
        "train",
        "model=custom",
        "model.factory=nets_of_strangers:net",
        "--trust",
        "nets_of_strangers",
        "--dry-run",
    ]
    code = "from sgdtheory.cli import main; main()"
    home = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *words, "threads=1"], capture_output=True, encoding="utf-8",
        env={**os.environ, "PYTHONPATH": home, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_two_packages_of_one_name_are_not_guessed_between(canary: Path) -> None:
    (canary / "sklearn.py").write_text("open('canary', 'w')\n", encoding="utf-8")
    refused(
        call("train", "landscape=quadratic", "--trust", "sklearn"), "there are two", "rename yours"
    )


# names are names, text is text

NAMES = [
    "../../../canary",
    "/tmp/canary",
    "a/b",
    "..",
    "",
    "<script>",
    'x" onload="y',
    "a\nb",
    "a\x1b[2J",
    "é",
    3,
    None,
    ["x"],
]
OURS = (TEMPLATES / "page.js").read_text(encoding="utf-8")  # the one script of a page
TEXT = "<script>open('canary')</script><img src=x onerror=y>\x1b[2J\x07\x08\r\u202eevil\u2066\x9b1m"


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_picture_with_a_name_that_is_none(name: Any, run: Path) -> None:
    plot = {
        "name": name,
        "title": "t",
        "caption": "c",
        "table": "minima",
        "x": "steps",
        "y": ["objective"],
        "by": None,
    }
    plot |= {"labels": {}, "theory": [], "level": None, "log": ""}
    edit(run, "results.json", plots=[{**plot, "name": "fine-name_0"}])
    assert call("report", str(run)).code == 0 and (run / "figures/fine-name_0.svg").exists()
    before = sorted(Path().rglob("*"))
    edit(run, "results.json", plots=[plot])
    refused(call("report", str(run)), "is no name of a picture")
    assert sorted(Path().rglob("*")) == before


def test_text_of_a_stranger_is_text(run: Path) -> None:
    results = Folder(run).read_json("results.json")
    claim = {
        **results["claims"][0],
        "statement": TEXT,
        "why": TEXT,
        "expected": TEXT,
        "holds": False,
    }
    minima = [{**row, "name": TEXT, TEXT: TEXT} for row in results["minima"]]
    plot = {
        "name": "p",
        "title": TEXT,
        "caption": TEXT,
        "table": "minima",
        "x": "name",
        "y": ["objective"],
        "by": TEXT,
    }
    plot |= {"labels": {"name": TEXT, "objective": TEXT}, "theory": [], "level": None, "log": ""}
    edit(
        run,
        "results.json",
        claims=[claim],
        minima=minima,
        landscape=TEXT,
        plots=[plot],
        tables={TEXT: minima},
    )
    units = Folder(run).read_json("units.json")
    Folder(run).write_json(
        "units.json", [{**unit, "name": TEXT, "why": TEXT, "status": "failed"} for unit in units]
    )
    edit(
        run,
        "manifest.json",
        git=TEXT,
        device_name=TEXT,
        command_line=f"sgdtheory train {TEXT!r}",
        why=TEXT,
        status="failed",
    )
    text = (run / "config.yaml").read_text(encoding="utf-8")
    rewrite(run, f"{text}# <script>\u202eevil")
    shutil.copytree(run, "their/train/b")
    for words in (
        ["report", str(run)],
        ["status", str(run)],
        ["report", str(run), "their/train/b", "--out", "both.html"],
    ):
        said = call(*words)
        assert said.code == 0, said.err
        assert not set("\x1b\x07\x08\r\u202e\u2066\x9b") & set(said.out + said.err), ascii(
            said.out + said.err
        )
    for page in (run / "report.html", Path("both.html"), *run.glob("figures/*.svg")):
        html = page.read_text(encoding="utf-8").replace(f"<script>{OURS}</script>", "")
        assert "<script" not in html and "<img" not in html, page
        if page.suffix == ".html":
            assert not set("\x1b\x07\x08\u202e\u2066\x9b") & set(html)
            head = html.partition("</head>")[0]
            assert "Content-Security-Policy" in head and "default-src 'none'" in head


def test_the_status_of_all_runs_keeps_to_a_line_a_run(run: Path) -> None:
    shutil.copytree("their", "runs")
    mine = Path("runs/train", run.name)
    line = "sgdtheory train 'a b'; touch canary $(touch canary) `touch canary` \x1b[2J"
    edit(mine, "manifest.json", status=f"failed\n{TEXT}", why=TEXT, command_line=line)
    said = call("status")
    assert said.code == 0 and not set("\x1b\r\u202e") & set(said.out)
    edit(mine, "manifest.json", status="interrupted", command_line="rm -rf /")
    assert "rm -rf" not in call("status").out


def test_a_command_of_a_stranger_is_one_command(run: Path) -> None:
    line = "sgdtheory train 'a b'; touch canary $(touch canary) `touch canary` | touch canary > canary & touch canary"
    edit(run, "manifest.json", status="interrupted", command_line=line)
    (said,) = [word for word in call("status", str(run)).out.splitlines() if "go on with: " in word]
    done = subprocess.run(
        ["bash", "-c", f"sgdtheory() {{ :; }}; {said.partition('go on with: ')[2]}"],
        capture_output=True,
    )
    assert done.returncode == 0 and done.stderr == b""


@pytest.mark.parametrize(
    "name", ["figures", "report.html", "results.json", "minima.safetensors", "config.yaml"]
)
def test_links_that_lead_out_of_a_run_are_not_followed(name: str, run: Path) -> None:
    Path("elsewhere").mkdir()
    target = Path("elsewhere", name)
    if name == "figures":
        target.mkdir()
        shutil.rmtree(run / name)
    else:
        shutil.move(run / name, target)
    (run / name).symlink_to(target.resolve())
    before = {path: path.read_bytes() for path in Path("elsewhere").rglob("*") if path.is_file()}
    said = call("report", str(run))
    assert (said.code == 0) == (
        name in ("report.html", "minima.safetensors")
    ) or "leads out of" in said.err, said
    assert {
        path: path.read_bytes() for path in Path("elsewhere").rglob("*") if path.is_file()
    } == before
    if name == "minima.safetensors":
        refused(call("connect", f"minima={run}", "--dry-run"), "leads out of")
    if name == "config.yaml":
        refused(call("connect", f"minima={run}", "--dry-run"))
        with pytest.raises(UserError, match="leads out of"):
            package.load(run)


@pytest.mark.parametrize("name", ["log.txt", ".lock"])
@pytest.mark.parametrize("present", [True, False])
def test_nothing_is_written_in_place_where_a_link_leads_out(
    name: str, present: bool, run: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    if present:
        outside.write_bytes(b"mine\n")
    edit(run, "manifest.json", status="interrupted")
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(outside)
    refused(call(*GOOD, f"run.dir={run}"), f"{name} leads out of")
    assert outside.exists() == present and (not present or outside.read_bytes() == b"mine\n")


@pytest.mark.parametrize("text", ['{"done": "\x1b[2J", "what": 3}', "[1]", "{}", "", "/dev/zero"])
def test_what_a_unit_says_of_itself_is_a_number_and_words(text: str, tmp_path: Path) -> None:
    folder = UnitFolder(tmp_path, Unit("train-0", {}))
    if text == "/dev/zero":
        (tmp_path / ".progress").symlink_to(text)
    else:
        (tmp_path / ".progress").write_text(text, encoding="utf-8")
    assert folder.progress == (0.0, "")


def test_a_run_may_be_a_link_and_hold_links_to_itself(run: Path) -> None:
    shutil.move(run / "minima.safetensors", run / "kept.safetensors")
    (run / "minima.safetensors").symlink_to("kept.safetensors")
    Path("linked").symlink_to(run.resolve())
    assert call("report", "linked").code == 0
    assert call("connect", "minima=linked", "--dry-run").code == 0


@pytest.mark.parametrize(
    "directory",
    ["../../../elsewhere", "/etc", "..", "units/../../x", "", 3, None, "units/x\x1b"],
    ids=ascii,
)
def test_units_are_looked_for_where_a_run_keeps_them(directory: Any, run: Path) -> None:
    units = Folder(run).read_json("units.json")
    Folder(run).write_json("units.json", [{**unit, "directory": directory} for unit in units])
    said = call("status", str(run))
    assert (
        said.code == 0
        and " damaged " in said.out
        and "it names no units" in " ".join(said.out.split())
    )


@pytest.mark.parametrize(
    "name", ["../../x", "..", "/x", "a/b", "a\\b", ".hidden", "a\x1bb", "a\u202eb", "x" * 101]
)
def test_a_run_has_a_plain_name(name: str, canary: Path) -> None:
    refused(
        call("train", "landscape=quadratic", f'run.name="{name}"'), "run.name=", "is no plain name"
    )


@pytest.mark.parametrize(
    ("name", "thing"),
    [
        ("results.json", []),
        ("results.json", {"claims": 5, "command": "train"}),
        ("results.json", {"claims": [3], "command": "train"}),
        ("results.json", {"minima": [3], "claims": [], "command": "train"}),
        ("results.json", {"plots": "x", "claims": [], "command": "train"}),
        ("manifest.json", "x"),
        ("manifest.json", {"command": 3, "started": "x"}),
        ("units.json", {"a": 1}),
        ("units.json", ["x"]),
    ],
)
def test_files_that_are_not_as_a_run_writes_them(name: str, thing: Any, run: Path) -> None:
    Folder(run).write_json(name, thing)
    for words in (
        ["report", str(run)],
        ["status", str(run)],
        ["connect", f"minima={run}", "--dry-run"],
    ):
        said = call(*words)
        assert said.code in (0, 1, 2) and len(said.err.splitlines()) <= 3, said
        assert "(--trace shows where)" not in said.err, said.err


# sizes are looked at before bytes are read


def bomb(kind: str, path: Path) -> None:
    """Make a file that would be waited for, or grow, without end."""
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "laughs":
        rows = ["a: &a [x, x]"] + [
            f"{b}: &{b} [*{a}, *{a}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        ]
        path.write_text("_target_: x\n" + "\n".join(rows), encoding="utf-8")
    elif kind == "deep":
        path.write_text("_target_: " + "[" * 5000 + "]" * 5000, encoding="utf-8")
    elif kind == "long":
        path.write_text("_target_: x\n#" + "x" * (1 << 18), encoding="utf-8")
    elif kind == "hole":
        with path.open("wb") as stream:
            stream.truncate(1 << 40)
    elif kind == "bytes":
        path.write_bytes(b"\xff\xfe\x00")


KINDS = ["pipe", "device", "folder", "laughs", "deep", "long", "hole", "bytes"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_configuration_that_is_none(kind: str, run: Path) -> None:
    bomb(kind, run / "config.yaml")
    refused(call("train", "--from", str(run / "config.yaml"), "--dry-run"))
    refused(call("connect", f"minima={run}", "--dry-run"))
    with pytest.raises(UserError):
        package.load(run)
    said = call("report", str(run), str(run.resolve()), "--out", "x.html")
    assert said.code in (0, 2) and (said.code == 0 or len(said.err.splitlines()) == 1), said


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "hole", "bytes"])
@pytest.mark.parametrize(
    "name",
    ["manifest.json", "results.json", "units.json", "metrics.jsonl", "minima.safetensors", ".lock"],
)
def test_a_file_of_a_run_that_is_none(kind: str, name: str, run: Path) -> None:
    bomb(kind, run / name)
    for words in (
        ["status", str(run)],
        ["report", str(run)],
        ["connect", f"minima={run}", "--dry-run"],
    ):
        said = call(*words)
        assert said.code in (0, 1, 2) and len(said.err.splitlines()) <= 3, said
        assert "(--trace shows where)" not in said.err, said.err


@pytest.mark.parametrize("kind", ["pipe", "device", "hole", "bytes"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".index.json", ".ckpt"])
def test_a_checkpoint_that_is_none(kind: str, suffix: str, canary: Path) -> None:
    bomb(kind, canary / f"points{suffix}")
    refused(call("connect", "landscape=quadratic", f"minima=points{suffix}", "--dry-run"))
    refused(call("sweep-temperature", "landscape=quadratic", f"minima=points{suffix}", "--dry-run"))


@pytest.mark.parametrize("size", [(10**9, 2), (1, 10**14)])
@pytest.mark.parametrize("name", ["minima", "extra", "deep"])
def test_a_tensor_that_repeats_one_number(size: tuple[int, int], name: str, canary: Path) -> None:
    grown = torch.zeros(1, 1).expand(*size)
    held = {"minima": torch.zeros(1, 2), name: {"a": [{"b": grown}]} if name == "deep" else grown}
    torch.save(held, "points.pt")
    assert Path("points.pt").stat().st_size < 10_000
    refused(
        call("connect", "landscape=ring", "minima=points.pt", "--dry-run"), "more than the file"
    )


def test_json_that_python_cannot_follow(run: Path) -> None:
    for text in ("[" * 100_000, "1" * 5000, '{"a": ' * 50_000):
        (run / "manifest.json").write_text(text, encoding="utf-8")
        said = call("status", str(run))
        assert (
            said.code == 0
            and " damaged " in said.out
            and "manifest.json is damaged" in " ".join(said.out.split())
        )
    assert json.loads("[]") == []


# words that are true: what is to be pasted goes on


def pasted(command: str, where: Path) -> Ended:
    """A command read by a shell, where `sgdtheory` is this one, in a process of its own."""
    function = "sgdtheory() { printf '%s\\0' \"$@\"; }\n"
    read = subprocess.run(
        ["bash", "-c", function + command], capture_output=True, encoding="utf-8", check=True
    )
    return warm().run(where, *read.stdout.split("\0")[:-1])


NET = """import torch
def net(shape, classes):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes))
"""


@pytest.mark.parametrize(
    "words",
    [
        ("train", "landscape=ring", "minima=2", "run.name=a b"),
        ("train", "--from", "b c/co'nf ig.yaml", "minima=3", "run.dir=x"),
        ("train", "landscape=hill", "--config-dir", "my conf", "minima=2"),
        ("train", "--config-dir", "my conf", "-cn", "few"),
        ("train", "-m", "landscape=ring", "minima=1,2"),
        (
            "train",
            "model=custom",
            "model.factory=nets_to_paste:net",
            "--trust",
            "nets_to_paste",
            "minima=1",
        ),
        ("train", "landscape=ring", "minima=2", "run.root='it is $HOME `x` \"*\" ~ é'"),
    ],
    ids=lambda words: words[1],
)
def test_the_command_to_go_on_with_goes_on(
    words: tuple[str, ...], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("nets_to_paste.py").write_text(NET, encoding="utf-8")
    Path("b c").mkdir()
    shutil.copy(run / "config.yaml", "b c/co'nf ig.yaml")
    ring = (CONFIGS / "landscape/ring.yaml").read_text(encoding="utf-8")
    Path("my conf/landscape").mkdir(parents=True)
    Path("my conf/landscape/hill.yaml").write_text(ring, encoding="utf-8")
    Path("my conf/few.yaml").write_text(
        "defaults: [train, _self_]\nminima: 2\nlandscape: {}\n", encoding="utf-8"
    )
    few = ("sgd.steps=2", "executor.workers=1", "threads=1")
    typed = [
        os.fsdecode(word.encode()) for word in words
    ]  # as a process has them, whatever its locale
    with monkeypatch.context() as full:
        full.setattr("sgdtheory.report.page.draw", failing)
        assert call(*typed, *few).code == 1
    before = {path for path in Path().rglob("manifest.json") if run not in path.parents}
    said = call("status", *sorted({str(path.parent) for path in before}))
    lines = {
        line.partition("go on with: ")[2]
        for line in said.out.splitlines()
        if "go on with: " in line
    }
    assert len(lines) == 1, said
    done = pasted(lines.pop().removesuffix(" --retry-failed"), Path.cwd())
    assert done.code == 0 and "Traceback" not in done.err, done.err
    assert {path for path in Path().rglob("manifest.json") if run not in path.parents} == before
    assert all(
        Folder(path.parent).read_json("manifest.json")["status"] == "done" for path in before
    )


def failing(path: Path) -> None:
    raise OSError(28, "No space left on device")


def test_a_run_of_the_same_landscape_is_found_and_known(run: Path) -> None:
    shutil.copytree("their", "runs")
    assert (
        "minima of runs/train/"
        in call("connect", "landscape=ring", "executor.workers=1", "--dry-run").err
    )
    assert (
        call("connect", "landscape=ring", f"minima={run}", "executor.workers=1", "--dry-run").code
        == 0
    )
    refused(
        call("connect", "landscape=double_well", f"minima={run}", "--dry-run"), "another landscape"
    )
