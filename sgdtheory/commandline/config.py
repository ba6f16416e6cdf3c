"""From the command line to plain objects: the only module that knows Hydra and OmegaConf.

Hydra composes a tree of plain data, schema.py checks it against the signatures it names, and what comes out are a pipeline and
the settings that say where it runs. Below `task` nobody sees a DictConfig.
"""

import argparse
import inspect
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, NamedTuple

import hydra
import hydra._internal.utils
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sgdtheory.commandline.complaints import faults_of, first_line
from sgdtheory.commandline.earlier import adopt
from sgdtheory.commandline.flags import flags_first, value_of
from sgdtheory.commandline.schema import Checker, build, refuse, trust_working_directory
from sgdtheory.faults import Mistake, nearest
from sgdtheory.folder import digest
from sgdtheory.kinds import Count, Place, PlacePath
from sgdtheory.run import Pipeline, Run

PACKAGE = Path(__file__).resolve().parents[1]
CONFIGS = PACKAGE / "configs" if (PACKAGE / "configs").exists() else PACKAGE.parent / "configs"
SETTINGS = ("device", "threads", "run", "executor")
FROM_FILE = "from_file"  # what Hydra knows the configuration of an earlier run by
COMPOSITION = (HydraException, OmegaConfBaseException, ValueError, TypeError)  # what Hydra raises for words it cannot use


@dataclass(frozen=True)
class Where:
    """The keys `run.*`."""

    root: PlacePath = Path("runs")
    dir: Annotated[Path | None, Place] = None
    name: Annotated[str | None, Place] = None


@dataclass(frozen=True)
class Settings:
    """Where and how a command runs: nothing here is part of a run's identity."""

    executor: Any
    device: str = "cpu"
    threads: Count | None = None
    where: Where = Where()


class Task(NamedTuple):
    """One checked command, ready to be executed."""

    command: str
    pipeline: Any
    settings: Settings
    science: dict[str, Any]  # the resolved tree that the pipeline reads, without places: its hash is the run's identity
    yaml: str  # the configuration with its interpolations kept
    trust: tuple[str, ...]
    overrides: tuple[str, ...]

    def open(self) -> Run:
        """The run directory that this task belongs to; not yet created."""
        where = self.settings.where
        name = where.name or _slug(self.science)
        path = where.dir or where.root / self.command / f"{name}-{digest(self.science)[:8]}"
        return Run(path, where.root, (where.dir or where.root) / "units", self.science)


def launch(
    command: str, words: list[str], trust: tuple[str, ...], from_file: Path | None, job: Callable[[Task], None]
) -> list[Exception]:
    """Compose with Hydra's own front end and hand every resulting task to `job`; gives what the jobs raised, in order.

    `words`: overrides and Hydra's flags, in any order; a multirun gives several tasks. Raises Mistake for wrong words.
    """
    trust_working_directory(trust)
    flags, overrides = flags_first(words)
    overrides = [_quoted(word) for word in overrides]
    directory = value_of(flags, "--config-dir", "-cd")
    if directory is not None and not Path(directory).is_dir():
        raise Mistake(f"--config-dir {directory}: no such folder")
    name = value_of(flags, "--config-name", "-cn") or _primary(command, overrides, from_file)
    words = [_one_of(word) for word in overrides] if {"-m", "--multirun"} & set(flags) else overrides
    roots = [file.stem for folder in (CONFIGS, directory) if folder for file in sorted(Path(folder).glob("*.yaml"))]
    if name.removesuffix(".yaml") not in [*roots, FROM_FILE]:
        raise Mistake(f"--config-name {name}: there is no such configuration" + nearest(name, roots))
    raised: list[Exception] = []

    def run(cfg: DictConfig) -> None:
        try:
            job(task(command, cfg, trust, tuple(overrides)))
        except Exception as fault:
            raised.append(fault)

    said, speaking = io.StringIO(), _speaking(run)
    try:
        with (
            _as_if_called(["sgdtheory", *flags, *overrides]),
            redirect_stderr(said if "hydra-help" not in str(flags) else sys.stderr),
        ):
            hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=name)(speaking)()
    except COMPOSITION as fault:
        refuse(faults_of(words, Hydra(name, directory)) or [first_line(str(fault))])
    except SystemExit as stop:
        if stop.code not in (0, None):
            raise Mistake(_last_line(said.getvalue()) or f"Hydra refused {' '.join(flags)}") from None
    return raised


def _speaking(job: Callable[[DictConfig], None]) -> Callable[[DictConfig], None]:
    """The job, with today's stderr given back to it: only what Hydra itself complains of is caught."""
    stderr = sys.stderr

    def speaking(cfg: DictConfig) -> None:
        with redirect_stderr(stderr):
            job(cfg)

    return speaking


class _Parser(argparse.ArgumentParser):
    """Hydra's parser: one of its help texts is an object that becomes text when it is printed.

    From Python 3.14 on argparse refuses that when the option is added (hydra#3121): it is added without, and given it then.
    """

    def add_argument(self, *flags: Any, **settings: Any) -> argparse.Action:
        text = settings.pop("help", None)
        action = super().add_argument(*flags, **settings)
        action.help = text
        return action


@contextmanager
def _as_if_called(arguments: list[str]) -> Iterator[None]:
    """hydra.main reads sys.argv, tells its faults in full only when the environment says so, and parses with `_Parser`."""
    before, full = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv, os.environ["HYDRA_FULL_ERROR"] = arguments, "1"
    front: Any = hydra._internal.utils
    front.argparse = SimpleNamespace(ArgumentParser=_Parser)
    try:
        yield
    finally:
        front.argparse = argparse
        sys.argv = before
        if full is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full
        GlobalHydra.instance().clear()


def task(command: str, cfg: DictConfig, trust: tuple[str, ...] = (), overrides: tuple[str, ...] = ()) -> Task:
    """Check a composed configuration and build what it describes; all that is wrong is told in one Mistake."""
    if missing := [key for key in ("_target_", *SETTINGS) if key not in cfg]:
        raise Mistake(f"this configuration describes no command: it has no {', '.join(missing)}")
    checker = Checker(trust)
    try:  # reading a key follows its interpolation, which may lead nowhere
        if not isinstance(cfg.run, DictConfig):
            raise Mistake(f"run: is a group of keys (run.root, run.dir, run.name), not {cfg.run!r}")
        if command != "train" and "minima" in cfg:
            identity = partial(_landscape_of, trust=trust)
            adopt(cfg, map(_root_of, overrides), read_yaml, identity, newest=command == "connect")
        yaml = OmegaConf.to_yaml(cfg)
        raw: Any = OmegaConf.to_container(cfg, resolve=False)
        cfg.device = resolve_device(str(cfg.device), checker)
        own = OmegaConf.select(cfg, "landscape.device")
        if own not in (None, cfg.device):  # asked for by itself
            cfg.landscape.device = resolve_device(str(own), checker, "landscape.device")
        tree: Any = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as fault:
        raise Mistake(first_line(str(fault))) from None
    parameters, unread = _read(raw, tree, checker)
    for key in dict.fromkeys(_root_of(word) for word in overrides):
        if key in unread:
            checker.fault(key, f"nothing here reads {key!r}; leave it out")
    where = checker.call(Where, tree["run"], "run")
    settings = checker.call(Settings, {key: tree[key] for key in SETTINGS if key != "run"}, "")
    pipeline = checker.node({key: tree[key] for key in parameters}, "", Pipeline)
    refuse([_as_typed(fault, raw) for fault in checker.faults])
    assert pipeline is not None
    try:
        placed = replace(build(settings), where=build(where))
        return Task(command, build(pipeline), placed, pipeline.science, yaml, trust, overrides)
    except (ValueError, TypeError) as fault:  # a constructor's own complaint about what the user asked for
        raise Mistake(first_line(str(fault))) from None


def _landscape_of(cfg: DictConfig, trust: tuple[str, ...]) -> Any:
    """The landscape of a configuration as plain data without places; None where something is wrong with it."""
    try:
        tree: Any = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException:
        return None
    node = Checker(trust).node(tree["landscape"], "landscape")
    return None if node is None else node.science


def load(path: Path, trust: tuple[str, ...] = (), device: str = "auto") -> tuple[Task, Run]:
    """The task and the run that a run directory holds; refuses a configuration that was edited since."""
    manifest = Run(path, path, path, {}).manifest
    if not manifest:
        raise Mistake(f"{path} is no run directory: it has no manifest.json")
    trust_working_directory(trust)
    cfg = read_yaml(path / "config.yaml")
    cfg.device = device
    found = task(manifest["command"], cfg, trust)
    run = Run(path, path / manifest["root"], path / manifest["units_root"], found.science)
    if run.hash != manifest["config_hash"]:
        raise Mistake(f"{path / 'config.yaml'} was edited since the run began: put it back, or give it to --from for a new run")
    return found, run


def read_yaml(path: Path) -> DictConfig:
    """A run's config.yaml."""
    try:
        cfg = OmegaConf.load(path)
    except FileNotFoundError:
        raise Mistake(f"no such file: {path}") from None
    except Exception as fault:
        raise Mistake(f"{path} is no configuration: {first_line(str(fault))}") from None
    if not isinstance(cfg, DictConfig) or "_target_" not in cfg:
        raise Mistake(f"{path} is no run's config.yaml: it has no _target_")
    return cfg


def resolve_device(name: str, checker: Checker, key: str = "device") -> str:
    """auto → the first GPU there is, else the CPU; a device that is not there is a fault of `key`."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        checker.fault(key, f"{name!r} is not one of auto, cpu, cuda, cuda:1" + nearest(name, ["auto", "cpu", "cuda"]))
        return "cpu"
    if device.type not in ("cpu", "cuda"):
        checker.fault(key, f"{name!r} is not one of auto, cpu, cuda, cuda:1")
    elif device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        checker.fault(key, f"there is no {name} here, GPUs found: {torch.cuda.device_count()}; use {key}=cpu or auto")
    return name


def groups(*directories: Path | str | None) -> dict[str, list[str]]:
    """The choices in every group, of the package and of a user's --config-dir."""
    found: dict[str, list[str]] = {}
    for directory in (CONFIGS, *(Path(d) for d in directories if d)):
        for folder in sorted(path for path in directory.iterdir() if path.is_dir()):
            found.setdefault(folder.name, []).extend(sorted(file.stem for file in folder.glob("*.yaml")))
    return found


def completions(command: str, incomplete: str) -> list[str]:
    """What may follow an unfinished override: groups and keys, or the choices of a group."""
    incomplete = re.sub(r"\n?=\n?", "=", incomplete)  # bash splits words at "=", Typer joins them with newlines
    key, equals, value = incomplete.partition("=")
    choices = groups()
    if equals:
        return [f"{key}={choice}" for choice in choices.get(key, []) if choice.startswith(value)]
    tree = Hydra(command.replace("-", "_"), None).compose([])
    found = [*choices, *(_leaves(tree) if isinstance(tree, dict) else [])]
    return sorted({f"{name}=" for name in found if name.startswith(incomplete)})


class Hydra:
    """Hydra without its front end: what overrides compose to, or why not."""

    def __init__(self, name: str, directory: str | None) -> None:
        self.name, self.choices = name, groups(directory)
        self.search = [f"hydra.searchpath=[file://{Path(directory).resolve()}]"] if directory else []
        self.composed: dict[tuple[str, ...], dict[str, Any] | Exception] = {}  # each takes a tenth of a second

    def compose(self, words: list[str]) -> dict[str, Any] | Exception:
        if tuple(words) not in self.composed:
            self.composed[tuple(words)] = self._compose(words)
        return self.composed[tuple(words)]

    def _compose(self, words: list[str]) -> dict[str, Any] | Exception:
        GlobalHydra.instance().clear()
        try:
            with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
                return OmegaConf.to_container(hydra.compose(self.name, overrides=[*words, *self.search]), resolve=False)  # type: ignore[return-value]
        except COMPOSITION as fault:
            return fault

    def parse(self, word: str) -> str | None:
        if "=" not in word and not word.startswith("~"):
            choice = next((f"; did you mean '{group}={word}'?" for group, names in self.choices.items() if word in names), "")
            return f"{word or repr(word)}: an override is key=value" + (choice or nearest(word, list(self.choices)))
        try:
            if OverridesParser.create().parse_override(word).is_sweep_override():
                return f"{word}: several values need --multirun; one value that is a list is written [1,2]"
        except HydraException as fault:
            return f"{word}: cannot be read ({_last_line(str(fault))}); quote what is special, e.g. 'key=\"a b\"'"
        return None


def _one_of(word: str) -> str:
    """The first value of a sweep, so that one job of a multirun can be composed."""
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException:
        return word
    return f"{word.split('=')[0]}={next(override.sweep_string_iterator())}" if override.is_sweep_override() else word


def _quoted(word: str) -> str:
    """`data.path=/home/jörg/pack.npz` with quotes round the value, which Hydra reads without them in ASCII alone."""
    key, equals, value = word.partition("=")
    if value.isascii() or re.search(r"""['"]|\$\{""", value):
        return word
    special = r"\s,=\[\]{}()"  # what has a meaning of its own between values
    return f"{key}{equals}" + re.sub(rf"[^{special}]*[^\x00-\x7f{special}][^{special}]*", lambda found: f"'{found[0]}'", value)


def _root_of(word: str) -> str:
    """`model@x.y=…`, `+model.width=…` → model."""
    found = re.match(r"[+~]*(\w+)", word)
    return found.group(1) if found else ""


def _references(thing: Any) -> set[str]:
    """The root keys that interpolations inside a raw tree refer to."""
    if isinstance(thing, dict | list):
        return {key for value in (thing.values() if isinstance(thing, dict) else thing) for key in _references(value)}
    return set(re.findall(r"\$\{(\w+)", thing)) if isinstance(thing, str) else set()


def _as_typed(fault: str, raw: dict[str, Any], where: str = "") -> str:
    """A fault of `landscape.data.path` as one of `data.path`, where `landscape.data` is written `${data}`."""
    for key, value in raw.items():
        path = f"{where}{key}"
        if isinstance(value, str) and (reference := re.fullmatch(r"\$\{(\w+)\}", value)):
            fault = re.sub(rf"\b{re.escape(path)}\b", reference.group(1), fault)
        elif isinstance(value, dict):
            fault = _as_typed(fault, value, f"{path}.")
    return fault


def _read(raw: dict[str, Any], tree: dict[str, Any], checker: Checker) -> tuple[list[str], set[str]]:
    """(root keys that are the pipeline's own, root keys that nothing reads).

    What is neither a setting nor a parameter may be a group that others refer to, such as `model`; with
    `landscape=quadratic` nothing does.
    """
    target = checker.resolve(tree.get("_target_"), "_target_")
    known = set(inspect.signature(target).parameters) if target else set()
    choices = groups()
    parameters = [key for key in tree if key not in SETTINGS and (key in known or key not in choices)]
    read = {*parameters, *SETTINGS}
    while more := {key for name in read for key in _references(raw.get(name))} - read:
        read |= more
    return parameters, set(tree) - read


def _primary(command: str, overrides: list[str], from_file: Path | None) -> str:
    """The name of the primary config; a run's own config.yaml is registered as one."""
    name = command.replace("-", "_")
    if from_file is None:
        return name
    if any(_root_of(word) == "experiment" for word in overrides):
        raise Mistake("--from and experiment= are two starting points; give one of them")
    raw: Any = OmegaConf.to_container(read_yaml(from_file), resolve=False)
    *folders, module, _ = ["", "", *str(raw["_target_"]).split(".")]  # …pipelines.train.Train, or …studies.widths.Widths
    if (folders[-1] != "studies") if name == "study" else (module != name):
        raise Mistake(f"{from_file} belongs to another command ({raw['_target_']}), not to {command}")
    known = [group for group in groups() if group != "experiment"]
    for word in overrides:
        if (group := word.partition("=")[0].lstrip("+")) in known:
            raw.pop(group, None)  # a new choice replaces the old one whole instead of being merged into it
    raw["defaults"] = ["base", "_self_", *({group: [] if group == "diagnostic" else None} for group in known)]
    ConfigStore.instance().store(name=FROM_FILE, node=OmegaConf.create(raw))
    return FROM_FILE


def _leaves(tree: Any, prefix: str = "") -> list[str]:
    if not isinstance(tree, dict):
        return [prefix.rstrip(".")]
    return [leaf for key, value in tree.items() for leaf in _leaves(value, f"{prefix}{key}.")]


def _slug(science: dict[str, Any]) -> str:
    """A readable name for a run: its model and data, or its landscape."""
    landscape = science.get("landscape") or {}
    parts = [landscape[key] for key in ("model", "data") if isinstance(landscape.get(key), dict)] or [landscape]
    words = [f"{str(part.get('_target_', 'run')).split('.')[-1]}{part.get('depth', '')}" for part in parts]
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
