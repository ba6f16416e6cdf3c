"""Every yaml under configs/: complete, composed, checked, built, and put through what its group
promises.

A new yaml is covered by lying there; a new root or group too, as far as being built.

"""

import inspect
import math
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import torch
import yaml
from omegaconf import DictConfig, OmegaConf

from sgdtheory.commandline import task as tasks
from sgdtheory.commandline.habits import EXAMPLES, meant
from sgdtheory.commandline.load import load
from sgdtheory.commandline.schema import Checker, Node, build
from sgdtheory.commandline.studies import studies
from sgdtheory.commandline.targets import CONFIGS
from sgdtheory.commandline.task import task
from sgdtheory.data.digits import digits
from sgdtheory.data.examples import Examples
from sgdtheory.errors import UserError
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.rng import stream
from sgdtheory.runs.run import Run
from sgdtheory.runs.task import Settings, Task, Where
from sgdtheory.runs.tensors import packed

FILES = sorted(CONFIGS.rglob("*.yaml"))
ROOTS = {
    file.stem: yaml.safe_load(file.read_text(encoding="utf-8"))
    for file in sorted(CONFIGS.glob("*.yaml"))
    if file.stem != "base"
}
CHOICES = [
    (f.parent.name, f.stem)
    for f in FILES
    if f.parent != CONFIGS and f.parent.name not in ("experiment", "study")
]
STUDIES = [file.stem for file in sorted(CONFIGS.glob("study/*.yaml"))]
EXPERIMENTS = sorted(CONFIGS.glob("experiment/*.yaml"))
FROM_DATA = ("shape", "classes")  # what a model is told by the data it is for


def relative(file: Path) -> str:
    return str(file.relative_to(CONFIGS))


def groups_of(root: dict[str, Any]) -> list[str]:
    """The groups in a root's defaults list."""
    return [key for entry in root["defaults"] if isinstance(entry, dict) for key in entry]


def compose(root: str, *words: str) -> DictConfig:
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return hydra.compose(root, overrides=["device=cpu", *words])


# what a yaml says


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """All mappings with a `_target_`, however deep."""
    if isinstance(tree, dict):
        if "_target_" in tree:
            yield tree
        for value in tree.values():
            yield from nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from nodes(value)


def complaints(text: str) -> list[str]:
    """What is wrong with a yaml: no comment, a target that is not ours, a parameter that it does
    not state."""
    tree = yaml.safe_load(text) or {}
    found = [] if text.startswith("# ") else ["the first line is no comment"]
    stated_elsewhere = groups_of(tree) if "defaults" in tree else []
    for node in nodes(tree):
        checker = Checker()
        target = checker.resolve(node["_target_"], "_target_")
        found += checker.faults
        parameters = inspect.signature(target).parameters if target else {}
        for name, parameter in parameters.items():
            filled = node.get("_partial_") and name in FROM_DATA
            variadic = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            if not (name in node or name in stated_elsewhere or filled or variadic):
                found.append(f"{node['_target_']} takes {name}, which is not stated")
    return found


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_states_every_value(file: Path) -> None:
    assert complaints(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("drop", ["height", "device", "# Ring"])
def test_an_incomplete_yaml_is_found_out(drop: str) -> None:
    lines = (CONFIGS / "landscape/ring.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    assert len(complaints("".join(line for line in lines if not line.startswith(drop)))) == 1


def test_a_target_from_elsewhere_is_found_out() -> None:
    assert "not trusted" in complaints("# a landscape\n_target_: os.system\n")[0]


# what its group promises


def images_pack(folder: Path) -> Path:
    pixels, labels = np.zeros((4, 8, 8), np.uint8), np.arange(4) % 2
    np.savez(
        folder / "pack.npz",
        train_images=pixels,
        train_labels=labels,
        test_images=pixels,
        test_labels=labels,
    )
    return folder / "pack.npz"


def table(folder: Path) -> Path:
    np.savez(folder / "table.npz", inputs=np.eye(9), targets=np.arange(9) % 2)
    return folder / "table.npz"


def sequence(folder: Path) -> Path:
    (folder / "sequence.txt").write_text("to be or not to be " * 50, encoding="utf-8")
    return folder / "sequence.txt"


def tensors(folder: Path) -> Path:
    held = {"train_inputs": torch.eye(9), "train_targets": torch.arange(9) % 2}
    (folder / "own.safetensors").write_bytes(packed(held))
    return folder / "own.safetensors"


FILES_OF = {"images": images_pack, "stored": tensors, "table": table, "tokens": sequence}


def a_model(model: Callable[..., torch.nn.Module]) -> None:
    for inputs in (torch.zeros(2, 1, 8, 8), torch.zeros(2, 3, 32, 32), torch.zeros(2, 5).long()):
        try:
            module = model(shape=inputs.shape[1:], classes=7).eval()
            logits = module(inputs)
        except (UserError, RuntimeError):
            continue
        assert logits.shape in ((2, 7), (2, 5, 7)) and torch.isfinite(logits).all()
        return
    raise AssertionError("fits neither digits nor CIFAR nor sequences")


def half(step: int, steps: int) -> float:
    return 1.0 if step < steps / 2 else 0.5


def distance(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs[:, 0] - targets).abs()


FACTORIES = {
    "model": "sgdtheory.models.linear:Linear",
    "schedule": "tests.test_configs:half",
    "loss": "tests.test_configs:distance",
}


def a_schedule(schedule: Callable[[int, int], float]) -> None:
    factors = [schedule(step, 100) for step in range(100)]
    assert all(math.isfinite(factor) and 0 <= factor <= 1 for factor in factors)
    assert max(factors) > 0.9


def a_landscape(landscape: Any) -> None:
    cloud = landscape.init(3, stream(0, "init"))
    assert cloud.shape == (3, landscape.dim)
    assert torch.equal(cloud, landscape.init(3, stream(0, "init")))
    if hasattr(landscape, "count"):
        batch = landscape.batch(torch.arange(8).expand(1, 8))
    else:
        batch = landscape.sample(1, 8, stream(0, "sample"))
    losses = landscape.losses(cloud, batch)
    assert losses.shape == (3,) and losses.dtype == cloud.dtype and torch.isfinite(losses).all()
    for p in range(3):
        torch.testing.assert_close(
            landscape.losses(cloud[p : p + 1], batch)[0], losses[p], rtol=1e-4, atol=1e-5
        )


def an_sgd(sgd: Any) -> None:
    landscape = Quadratic(directions=3)
    start = landscape.init(2, stream(0, "init"))
    states = [state.cloud.clone() for state in replace(sgd, steps=2).run(landscape, start, 0)]
    assert (
        len(states) == 2
        and torch.isfinite(torch.stack(states)).all()
        and not torch.equal(states[0], states[1])
    )


def an_executor(executor: Any) -> None:
    assert executor.count(Settings(executor)) >= 1 and callable(executor.do)


def data(examples: Any) -> None:
    assert examples.train_inputs.shape == (examples.count, *examples.shape)
    assert len(examples.train_targets) == examples.count
    assert examples.train_targets.max() < examples.outputs
    prepared = examples.prepared(examples.train_inputs[:2], torch.float32)
    assert prepared.dtype in (torch.float32, torch.int64)


def a_loss(loss: Any) -> None:
    inputs, numbers = torch.randn(6, 3), torch.rand(6)
    classes = torch.arange(6) % 2
    for targets, outputs in ((numbers, 1), (classes, 2)):
        known = Examples(inputs, targets, inputs, targets, outputs, "some")
        guesses = torch.randn(6, outputs)
        try:
            adapted = loss.adapted_to(guesses, known)
        except UserError:
            continue
        losses = adapted.losses(guesses[None].expand(4, -1, -1), targets[None])
        assert losses.shape == (4, 6) and torch.isfinite(losses).all()
        assert adapted.errors(guesses, targets).shape == (6,)
        nothing = adapted.losses(torch.zeros(1, 6, outputs), targets[None]).mean()
        assert adapted.of_constant(targets, outputs) <= float(nothing) + 1e-6
        return
    raise AssertionError("fits neither classes nor numbers")


CONTRACTS: dict[str, Callable[[Any], None]] = {
    "model": a_model,
    "schedule": a_schedule,
    "landscape": a_landscape,
    "sgd": an_sgd,
    "executor": an_executor,
    "data": data,
    "loss": a_loss,
}


@pytest.mark.parametrize(("group", "choice"), CHOICES, ids=map("/".join, CHOICES))
def test_a_choice_keeps_its_groups_promise(group: str, choice: str, tmp_path: Path) -> None:
    root = next(
        name for name, tree in ROOTS.items() if group in groups_of(tree) and not tree.get(group)
    )  # as it stands
    is_list = {group: []} in ROOTS[root]["defaults"]
    words = [f"{group}=[{choice}]" if is_list else f"{group}={choice}"]
    cfg = compose(root, *words)
    for key in OmegaConf.missing_keys(cfg):  # what only a user can give
        leaf = key.rpartition(".")[2]
        OmegaConf.update(
            cfg,
            key,
            FACTORIES[group] if leaf == "factory" else str(FILES_OF[choice](tmp_path)),
        )
    tree: Any = OmegaConf.to_container(cfg[group], resolve=True)
    checker = Checker(("tests",))
    checked, _ = checker.value(Any, tree, group)
    assert checker.faults == []
    if not any("download" in node for node in nodes(tree)):
        CONTRACTS.get(group, lambda thing: None)(build(checked))


@pytest.mark.parametrize(
    "group", sorted({group for group, _ in CHOICES} - set(CONTRACTS)) or ["no other group"]
)
def test_every_other_group_is_one_that_is_only_built(group: str) -> None:
    assert group in ("no other group", "autoneb", "estimator", "diagnostic", "study"), (
        f"give {group} a contract"
    )


# roots and experiments


def checked_task(command: str, cfg: DictConfig, monkeypatch: pytest.MonkeyPatch) -> Task:
    """A task whose pipeline is checked, but not built: nothing is downloaded."""
    monkeypatch.setattr(
        tasks, "build", lambda thing: build(thing) if thing.target in (Settings, Where) else thing
    )
    return task(command, cfg)


def demand_is_taken_up(begun: Task, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker, Slurm's and Ray's jobs and `sgdtheory.load` find the run that was begun."""
    monkeypatch.chdir(here)
    path = begun.open().path
    path.mkdir(parents=True)
    run = Run(path, path.parents[1], path.parents[1] / "units", begun.science)
    (path / "config.yaml").write_text(begun.yaml, encoding="utf-8")
    places = {"root": "../..", "units_root": "../../units"}
    run.note(command=begun.command, config_hash=run.hash, landscape=begun.ground, **places)
    found, again = load(run.path)
    assert again.hash == run.hash and found.science == begun.science


@pytest.mark.parametrize("root", sorted(set(ROOTS) - {"study"}))
def test_a_root_composes_and_is_checked(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = checked_task(root, compose(root), monkeypatch)
    assert (
        isinstance(found.pipeline, Node)
        and found.pipeline.target.__module__.rpartition(".")[2] == root
    )
    assert not {"run", "device", "executor", "threads"} & set(found.science)
    demand_is_taken_up(found, tmp_path, monkeypatch)


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_composes_and_is_checked(
    study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, *_ = (CONFIGS / f"study/{study}.yaml").read_text(encoding="utf-8").splitlines()
    assert (
        first == "# @package _global_"
        and second.startswith("# ")
        and studies()[study] == second.removeprefix("# ")
    )
    found = checked_task("study", compose("study", f"study={study}"), monkeypatch)
    assert found.pipeline.target.__module__ == f"sgdtheory.studies.{study}"
    assert not {"run", "device", "executor", "threads"} & set(found.science)
    assert found.open().path.parent == Path("runs/study") and found.open().path.name.startswith(
        f"{study}-"
    )
    demand_is_taken_up(found, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "file", EXPERIMENTS or [None], ids=lambda file: file.stem if file else "none"
)
def test_an_experiment_is_opened_by_its_command(
    file: Path | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if file is None:
        pytest.skip("no experiments")
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# @package _global_"
    program, command, *words = shlex.split(lines[1].lstrip("# "))
    assert program == "sgdtheory" and f"experiment={file.stem}" in words
    cfg = compose(command.replace("-", "_"), *words)
    found = checked_task(command, cfg, monkeypatch)
    for key, value in OmegaConf.to_container(OmegaConf.load(file)).items():  # type: ignore[union-attr]
        if not isinstance(value, dict) and key != "defaults":
            assert found.science[str(key)] == value
    assert found.open().path.parts[:2] == ("runs", command)
    demand_is_taken_up(found, tmp_path, monkeypatch)


# sweep-temperature's two names of one thing


def swept(*words: str) -> Task:
    return task(
        "sweep_temperature",
        compose("sweep_temperature", "landscape=quadratic", *words),
        overrides=words,
    )


@pytest.mark.parametrize(("leaf", "value"), [("momentum", 0.5), ("steps", 500)])
def test_sgd_and_the_root_key_are_one(leaf: str, value: float) -> None:
    under, root = swept(f"sgd.{leaf}={value}"), swept(f"{leaf}={value}")
    assert getattr(under.pipeline, leaf) == getattr(root.pipeline, leaf) == value
    assert under.science == root.science != swept().science
    assert under.open().path == root.open().path


def test_sgd_as_a_group_keeps_the_sweeps_own_values() -> None:
    assert swept("sgd=sgd").science == swept().science
    assert (swept().pipeline.momentum, swept().pipeline.sampling, swept().pipeline.steps) == (
        0.0,
        "iid",
        60_000,
    )


def test_the_examples_that_epochs_are_counted_by_are_the_data_sets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tree = OmegaConf.to_container(compose("train"), resolve=False)
    assert EXAMPLES["digits"] == digits().count
    assert meant("epochs", ["sgd.steps"], "10", tree).endswith("10 × 1,437/128: sgd.steps=113")
    for name in set(EXAMPLES) - {"digits"}:  # by their papers, as their configurations say
        said = (CONFIGS / f"data/{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
        assert f"{EXAMPLES[name]:,} + 10,000" in said
