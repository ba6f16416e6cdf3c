"""From the command line to plain objects: the only module that knows Hydra and OmegaConf.

Hydra composes a tree of plain data, schema.py checks it against the signatures it names, and what
comes out are a pipeline and the settings that say where it runs. Below `task` nobody sees a
DictConfig.
"""

import argparse
import inspect
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hydra
import hydra._internal.utils
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sgdtheory.commandline.complaints import faults_of, first_line, key_of, paths_of
from sgdtheory.commandline.earlier import adopt, ground_of, own_points
from sgdtheory.commandline.flags import flags_first, value_of
from sgdtheory.commandline.habits import meant, value_meant
from sgdtheory.commandline.schema import Checker, build, refuse
from sgdtheory.commandline.strangers import left_behind, science_of
from sgdtheory.commandline.targets import CONFIGS, OURS
from sgdtheory.commandline.trust import trust_working_directory
from sgdtheory.errors import RunError, UserError, nearest
from sgdtheory.runs.folder import beside
from sgdtheory.runs.foreign import MOST_YAML, held, reads_outside, refuse_strange_yaml, text_of
from sgdtheory.runs.run import Pipeline, Run, changed_since
from sgdtheory.runs.task import Settings, Task, Where

SETTINGS = ("device", "threads", "run", "executor")
PATHS = ("data.path", "data.root")  # keys of a configuration that name files, besides minima
# keys whose values are names of things outside
FILES = (
    "minima",
    "checkpoint.key",
    "checkpoint.prefix",
)
FROM_FILE = "from_file"  # what Hydra knows the configuration of an earlier run by
PACKAGES = {
    "experiment": "_global_",
    "study": "_global_",
    "diagnostic": "diagnostic.{}",
    "estimator": "estimator.{}",
}
# a logging of Hydra's that builds nothing
QUIET = {
    "version": 1,
    "root": None,
    "disable_existing_loggers": False,
}
# where Hydra's own launchers and sweepers live
PLUGINS = (
    "hydra._internal.core_plugins.",
    "hydra_plugins.",
)
# what Hydra raises for words it cannot use
COMPOSITION = (
    HydraException,
    OmegaConfBaseException,
    ValueError,
    TypeError,
    AssertionError,
)


def launch(
    command: str,
    words: list[str],
    trust: tuple[str, ...],
    from_file: Path | None,
    job: Callable[[Task], None],
) -> list[Exception]:
    """Compose with Hydra's own front end and hand every resulting task to `job`; gives what the
    jobs raised, in order.

    `words`: overrides and Hydra's flags, in any order; a multirun gives several tasks. Raises
    UserError for wrong words.
    """
    _trust(trust)
    flags, overrides = flags_first(words)
    directory = value_of(flags, "--config-dir", "-cd")
    if directory is not None and not Path(directory).is_dir():
        raise UserError(f"--config-dir {directory}: no such folder")
    primary, notes = _primary(command, overrides, from_file)
    name = value_of(flags, "--config-name", "-cn") or primary
    spoken = [_in_ascii(_file_named(word)) for word in overrides]
    words = [_one_of(word) for word in spoken] if {"-m", "--multirun"} & set(flags) else spoken
    roots = [
        file.stem
        for folder in (CONFIGS, directory)
        if folder
        for file in sorted(Path(folder).glob("*.yaml"))
    ]
    if name.removesuffix(".yaml") not in [*roots, FROM_FILE]:
        raise UserError(
            f"--config-name {name}: there is no such configuration" + nearest(name, roots)
        )
    _refuse_misplaced(overrides, directory)
    raised: list[Exception] = []

    def run(cfg: DictConfig) -> None:
        try:
            job(task(command, cfg, trust, tuple(overrides), notes))
        except Exception as fault:
            raised.append(fault)

    said, speaking = io.StringIO(), _speaking(run)
    try:
        with (
            _as_if_called(["sgdtheory", *flags, *spoken]),
            _as_plain_data(),
            redirect_stderr(said if "hydra-help" not in str(flags) else sys.stderr),
        ):
            hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=name)(speaking)()
    except UserError:
        raise
    except COMPOSITION as fault:
        refuse(faults_of(words, Hydra(name, directory)) or [first_line(str(fault))])
    except SystemExit as stop:
        if stop.code not in (0, None):
            raise UserError(
                _last_line(said.getvalue()) or f"Hydra refused {' '.join(flags)}"
            ) from None
    return raised


def _trust(trust: tuple[str, ...]) -> None:
    """Look in the working directory for trusted packages, after Hydra has looked for its plug-ins
    elsewhere."""
    if trust:
        Plugins.instance()
    trust_working_directory(trust)


@contextmanager
def _as_plain_data() -> Iterator[None]:
    """In this block Hydra composes, and builds nothing of what a configuration says of Hydra
    itself: whatever file that stands in, or on the command line, it is refused before Hydra
    reads it."""
    Plugins.instance()  # it knows the class that reads configurations from packages
    front: Any = ConfigLoaderImpl
    sources: Any = SourcesRegistry.instance().resolve("pkg")
    load, source = front.load_configuration, sources.__init__

    def loaded(*args: Any, **kwargs: Any) -> DictConfig:
        cfg: DictConfig = load(*args, **kwargs)
        if kwargs.get("config_name") is None and not kwargs.get(
            "overrides"
        ):  # Hydra's own help, of itself alone
            return cfg
        _refuse_calls(OmegaConf.to_container(cfg.hydra, resolve=False))
        return cfg

    def found(self: Any, provider: str, path: str) -> None:
        if path.partition("://")[2].split("/")[0].split(".")[0] != "hydra":
            raise UserError(
                f"{path}: configurations are read from folders, by --config-dir, not from packages"
            )
        source(self, provider, path)

    front.load_configuration, sources.__init__ = loaded, found
    try:
        yield
    finally:
        front.load_configuration, sources.__init__ = load, source


def _refuse_calls(settings: Any) -> None:
    """Raise UserError where the section `hydra` of a composed configuration names something that
    would be called."""
    plugins = {f"hydra.{key}": settings.get(key) for key in ("launcher", "sweeper")}
    job = settings.get("job") or {}
    wrong = ["hydra.callbacks"] if settings.get("callbacks") else []
    wrong += [
        f"hydra.{key}"
        for key in ("job_logging", "hydra_logging")
        if (settings.get(key) or QUIET) != QUIET
    ]
    wrong += [f"hydra.job.{key}" for key in ("env_set", "env_copy") if job.get(key)]
    for where, plugin in plugins.items():
        target = plugin.get("_target_") if isinstance(plugin, dict) else None
        wrong += [f"{where}._target_"] if not str(target).startswith(PLUGINS) else []
    wrong += [
        path
        for path in paths_of(settings, "hydra.")
        if path.endswith("._target_") and path.count(".") > 2
    ]
    if wrong:
        raise UserError(
            f"{wrong[0]}: Hydra's own settings may not name what is run, wherever they "
            f"stand; leave it out"
        )


def _refuse_misplaced(overrides: list[str], directory: str | None) -> None:
    """Raise UserError for a file of the user's whose keys would land where nothing reads them, for
    want of its first line."""
    for word in overrides if directory else []:
        group, _, names = word.lstrip("+").partition("=")
        for name in names.strip("[]").split(","):
            wanted, file = (
                PACKAGES.get(group, "").format(name),
                Path(directory or "", group, f"{name}.yaml"),
            )
            if (
                wanted
                and file.is_file()
                and f"@package {wanted}" not in file.read_text(encoding="utf-8", errors="replace")
            ):
                raise UserError(
                    f"{file}: its first line must be `# @package {wanted}`, or nothing reads "
                    f"its keys"
                )


def _speaking(job: Callable[[DictConfig], None]) -> Callable[[DictConfig], None]:
    """The job, with today's stderr given back to it: only what Hydra itself complains of is
    caught."""
    stderr = sys.stderr

    def speaking(cfg: DictConfig) -> None:
        with redirect_stderr(stderr):
            job(cfg)

    return speaking


class _Parser(argparse.ArgumentParser):
    """Hydra's parser: one of its help texts is an object that becomes text when it is printed.

    From Python 3.14 on argparse refuses that when the option is added (hydra#3121): it is added
    without, and given it then.
    """

    def add_argument(self, *flags: Any, **settings: Any) -> argparse.Action:
        text = settings.pop("help", None)
        action = super().add_argument(*flags, **settings)
        action.help = text
        return action


@contextmanager
def _as_if_called(arguments: list[str]) -> Iterator[None]:
    """hydra.main reads sys.argv, tells its faults in full only when the environment says so, and
    parses with `_Parser`."""
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


def task(
    command: str,
    cfg: DictConfig,
    trust: tuple[str, ...] = (),
    overrides: tuple[str, ...] = (),
    said: tuple[str, ...] = (),
) -> Task:
    """Check a composed configuration and build what it describes; all that is wrong is told in one
    UserError."""
    if missing := [key for key in ("_target_", *SETTINGS) if key not in cfg]:
        raise UserError(f"this configuration describes no command: it has no {', '.join(missing)}")
    if _is_anothers(command, target := str(cfg.get("_target_"))):
        raise UserError(
            f"{target} belongs to another command, not to {command}; its own is "
            f"--config-name {command.replace('-', '_')}"
        )
    checker, notes = Checker(trust), tuple[str, ...]()
    try:  # reading a key follows its interpolation, which may lead nowhere
        if not isinstance(cfg.run, DictConfig):
            raise UserError(
                f"run: is a group of keys (run.root, run.dir, run.name), not {cfg.run!r}"
            )
        if command != "train" and "minima" in cfg:
            identity = partial(_landscape_of, trust=trust)
            notes = adopt(
                cfg, map(_key_of, overrides), read_yaml, identity, newest=command == "connect"
            )
        raw: Any = OmegaConf.to_container(cfg, resolve=False)
        yaml = OmegaConf.to_yaml(OmegaConf.create(_settled(raw, cfg)))
        cfg.device = resolve_device(str(cfg.device), checker)
        own = OmegaConf.select(cfg, "landscape.device")
        if own not in (None, cfg.device):  # asked for by itself
            cfg.landscape.device = resolve_device(str(own), checker, "landscape.device")
        tree: Any = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as fault:
        raise UserError(first_line(str(fault))) from None
    parameters, read = _read(raw, tree, checker)
    for key in dict.fromkeys(map(key_of, overrides)):
        if (root := _root_of(key)) in tree and not _is_read(key, read):
            checker.fault(*_unread(key, root, parameters, read, paths_of(raw)))
    where = checker.call(Where, tree["run"], "run")
    settings = checker.call(Settings, {key: tree[key] for key in SETTINGS if key != "run"}, "")
    pipeline = checker.node({key: tree[key] for key in parameters}, "", Pipeline)
    refuse([_as_typed(fault, raw) for fault in checker.faults])
    assert pipeline is not None
    try:
        placed = replace(build(settings), where=build(where), trust=trust)
        ground = ground_of(pipeline.science.get("landscape"))
        built, science = build(pipeline), pipeline.science
        if hasattr(built, "identity"):  # it has read what files hold
            science = built.identity(science)
        if notes and command == "connect" and cfg.get("minima") is None:
            notes = (*notes, "so the minima that the landscape itself states are joined")
        return Task(
            command, built, placed, science, yaml, trust, overrides, ground, (*said, *notes)
        )
    except RunError:
        raise
    except (
        ValueError,
        TypeError,
        RuntimeError,
    ) as fault:  # a constructor's own complaint about what the user asked for
        lines = (
            str(fault).splitlines()[:3]
            if isinstance(fault, UserError)
            else [first_line(str(fault))]
        )
        raise UserError("\n".join([*lines, *notes[:2]])) from fault


def _settled(raw: Any, cfg: Any) -> Any:
    """A raw tree as a run keeps it: `${key}` as it is, and instead of what was read from outside
    the value that was read."""
    if isinstance(raw, dict | list):
        pairs = raw.items() if isinstance(raw, dict) else enumerate(raw)
        found = {key: _settled(value, _inside(cfg, key, value)) for key, value in pairs}
        return found if isinstance(raw, dict) else list(found.values())
    return raw if cfg is None else OmegaConf.to_container(cfg) if OmegaConf.is_config(cfg) else cfg


def _inside(cfg: Any, key: Any, raw: Any) -> Any:
    """What a key of a configuration leads to, where that has to be looked up."""
    return (
        cfg[key]
        if isinstance(raw, dict | list) or (isinstance(raw, str) and reads_outside(raw))
        else None
    )


def _landscape_of(cfg: DictConfig, trust: tuple[str, ...]) -> Any:
    """The landscape of a configuration as plain data without places; None where something is wrong
    with it."""
    try:
        # a landscape names `device`
        tree: Any = OmegaConf.to_container(OmegaConf.merge(_usual(), cfg), resolve=True)
    except OmegaConfBaseException:
        return None
    landscape = tree.get("landscape")
    is_node = isinstance(landscape, dict) and "_target_" in landscape
    node = Checker(trust).node(landscape, "landscape") if is_node else None
    return None if node is None else node.science


def load(path: Path, trust: tuple[str, ...] = (), device: str = "auto") -> tuple[Task, Run]:
    """The task and the run that a run directory holds; refuses a configuration that was edited
    since.

    Files that the configuration names are looked for where the run was made, then here. The points
    that it was given a run keeps itself, once it has results.
    """
    manifest = Run(path, path, path, {}).manifest
    if not manifest:
        raise UserError(f"{path} is no run directory: it has no manifest.json")
    if wrong := [
        key
        for key in ("command", "root", "units_root", "config_hash")
        if not isinstance(manifest.get(key), str)
    ]:
        raise UserError(
            f"{path / 'manifest.json'} is no manifest of a run: it does not say its {wrong[0]}"
        )
    _trust(trust)
    try:
        whole = _read_whole(held(path, "config.yaml"))
    except FileNotFoundError:
        raise UserError(f"{path}: no config.yaml is there: put it back") from None
    cfg: Any = OmegaConf.merge(
        _usual(), science_of(whole, str(path / "config.yaml")), {"device": device}
    )
    root = whole["run"].get("root") if isinstance(whole.get("run"), dict) else None
    _placed(cfg, path, manifest, Path(str(root or "runs")))
    own_points(cfg, path, manifest)
    try:
        found = task(manifest["command"], cfg, trust)
    except UserError as mistake:
        raise UserError(f"{path}: {mistake}") from None
    run = Run(
        path, beside(path, manifest["root"]), beside(path, manifest["units_root"]), found.science
    )
    if run.hash != manifest["config_hash"]:
        if manifest.get("landscape") not in (None, found.ground):
            raise UserError(changed_since(path))
        what = ", or the code of ".join([str(path / "config.yaml"), *manifest.get("trust", [])])
        raise UserError(
            f"{what} was edited since the run began: put it back, or give the file to --from "
            f"for a new run"
        )
    return found, run


def _placed(cfg: DictConfig, path: Path, manifest: dict[str, Any], root: Path) -> None:
    """Have the relative paths of a run's configuration lead to their files, wherever they are read
    from; `root` is where the run was kept, as seen from where it was made."""
    home = (path / manifest["root"]).resolve()
    above = [home, *home.parents]  # the run was made where run.root leads to its home
    made_in = next((folder for folder in above if (folder / root).resolve() == home), None)
    for key in PATHS:
        value = OmegaConf.select(cfg, key, throw_on_missing=False)
        if isinstance(value, str):
            OmegaConf.update(cfg, key, _found(value, made_in))
    if cfg.get("minima") is not None and not isinstance(cfg.minima, int):
        files = [cfg.minima] if isinstance(cfg.minima, str) else cfg.minima
        cfg.minima = [_found(str(file), made_in) for file in files]


def _found(name: str, made_in: Path | None) -> str:
    """A path where it leads to something: as seen from where the run was made, else from here."""
    if made_in is not None and not Path(name).is_absolute() and (made_in / name).exists():
        return str(made_in / name)
    return name


def read_yaml(path: Path) -> DictConfig:
    """The science of a run's config.yaml, under the usual settings: its own are not taken, and
    nothing else is read."""
    return OmegaConf.create({**_usual(), **science_of(_read_whole(path), str(path))})


def _read_whole(path: Path) -> dict[str, Any]:
    """All that stands in a run's config.yaml, as plain data."""
    text = text_of(path, MOST_YAML, "configuration")
    refuse_strange_yaml(text, str(path))
    try:
        tree: Any = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except Exception as fault:  # whatever OmegaConf finds wrong with it
        raise UserError(f"{path} is no configuration: {first_line(str(fault))}") from None
    if not isinstance(tree, dict) or "_target_" not in tree:
        raise UserError(f"{path} is no run's config.yaml: it has no _target_")
    if strange := [key for key in tree if not isinstance(key, str)]:
        raise UserError(f"{path} is no run's config.yaml: {strange[0]!r} is no key")
    return tree


@cache
def _usual() -> dict[str, Any]:
    """The settings that a command has when none are given."""
    base: Any = OmegaConf.to_container(OmegaConf.load(CONFIGS / "base.yaml"), resolve=False)
    base["executor"] = OmegaConf.to_container(OmegaConf.load(CONFIGS / "executor" / "local.yaml"))
    return {key: value for key, value in base.items() if key not in ("defaults", "hydra")}


def resolve_device(name: str, checker: Checker, key: str = "device") -> str:
    """auto → the first GPU there is, else the CPU; a device that is not there is a fault of
    `key`."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        hint = value_meant("device", name) or nearest(name, ["auto", "cpu", "cuda"])
        checker.fault(key, f"{name!r} is not one of auto, cpu, cuda, cuda:1{hint}")
        return "cpu"
    if device.type not in ("cpu", "cuda"):
        checker.fault(
            key, f"{name!r} is not one of auto, cpu, cuda, cuda:1{value_meant('device', name)}"
        )
    elif device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        checker.fault(
            key,
            f"there is no {name} here, GPUs found: {torch.cuda.device_count()}; use "
            f"{key}=cpu or auto",
        )
    return name


def groups(*directories: Path | str | None) -> dict[str, list[str]]:
    """The choices in every group, of the package and of a user's --config-dir."""
    found: dict[str, list[str]] = {}
    for directory in (CONFIGS, *(Path(d) for d in directories if d)):
        for folder in sorted(path for path in directory.iterdir() if path.is_dir()):
            found.setdefault(folder.name, []).extend(
                sorted(file.stem for file in folder.glob("*.yaml"))
            )
    return found


def completions(command: str, incomplete: str) -> list[str]:
    """What may follow an unfinished override: groups and keys, or the choices of a group."""
    # bash splits words at "=", Typer joins them with newlines
    incomplete = re.sub(r"\n?=\n?", "=", incomplete)
    key, equals, value = incomplete.partition("=")
    choices = groups()
    if equals:
        return [f"{key}={choice}" for choice in choices.get(key, []) if choice.startswith(value)]
    tree = Hydra(command.replace("-", "_"), None).compose([])
    found = [*choices, *(_leaves(tree) if isinstance(tree, dict) else [])]
    return sorted({f"{name}=" for name in found if name.startswith(incomplete)})


def keys_of(command: str) -> tuple[Any, list[str]]:
    """(the tree of a command's defaults, all its keys with dots); what a study has it alone
    knows."""
    composer = Hydra(command.replace("-", "_"), None)
    tree = composer.compose([])
    known = tree if isinstance(tree, dict) else {}
    return known, [*paths_of(known), *composer.choices]


class Hydra:
    """Hydra without its front end: what overrides compose to, or why not."""

    def __init__(self, name: str, directory: str | None) -> None:
        self.name, self.choices = name, groups(directory)
        self.search = (
            [f"hydra.searchpath=[file://{Path(directory).resolve()}]"] if directory else []
        )
        self.composed: dict[
            tuple[str, ...], dict[str, Any] | Exception
        ] = {}  # each takes a tenth of a second

    def compose(self, words: list[str]) -> dict[str, Any] | Exception:
        if tuple(words) not in self.composed:
            self.composed[tuple(words)] = self._compose(words)
        return self.composed[tuple(words)]

    def _compose(self, words: list[str]) -> dict[str, Any] | Exception:
        GlobalHydra.instance().clear()
        try:
            with _as_plain_data(), hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
                return OmegaConf.to_container(
                    hydra.compose(self.name, overrides=[*words, *self.search]), resolve=False
                )  # type: ignore[return-value]
        except COMPOSITION as fault:
            return fault

    def parse(self, word: str) -> str | None:
        if "=" not in word and not word.startswith("~"):
            choice = next(
                (
                    f"; did you mean '{group}={word}'?"
                    for group, names in self.choices.items()
                    if word in names
                ),
                "",
            )
            return f"{word or repr(word)}: an override is key=value" + (
                choice or nearest(word, list(self.choices))
            )
        try:
            if OverridesParser.create().parse_override(word).is_sweep_override():
                return (
                    f"{word}: several values need --multirun; one value that is a list is "
                    f"written [1,2]"
                )
        except HydraException as fault:
            return (
                f"{word}: cannot be read ({_last_line(str(fault))}); quote what is "
                f"special, e.g. 'key=\"a b\"'"
            )
        return None


def _file_named(word: str) -> str:
    """`minima=epoch=3.ckpt` as Hydra reads it: names of files that its grammar has no room for
    stand in quotes."""
    key, equals, value = word.partition("=")
    if key.lstrip("+") not in FILES or not equals:
        return word
    with suppress(HydraException):
        OverridesParser.create().parse_override(word)
        return word
    listed = re.fullmatch(r"\[(.*)\]", value)
    names = [name.strip() for name in (listed[1].split(",") if listed else [value])]
    if any(not name or name[0] in "'\"[{(" or {'"', "'"} & set(name) for name in names):
        return word
    quoted = ",".join(f"'{name}'" for name in names)
    return f"{key}=[{quoted}]" if listed else f"{key}={quoted}"


def _one_of(word: str) -> str:
    """The first value of a sweep, so that one job of a multirun can be composed."""
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException:
        return word
    return (
        f"{word.split('=')[0]}={next(override.sweep_string_iterator())}"
        if override.is_sweep_override()
        else word
    )


def _key_of(word: str) -> str:
    """`+landscape.learning_rate=0.1` → landscape.learning_rate; `model@x.y=…` → model"""
    found = re.match(r"[+~]*([\w.]+)", word)
    return found.group(1) if found else ""


def _in_ascii(word: str) -> str:
    """`data.path=/home/jörg/pack.npz` with quotes round the value, which Hydra reads without them
    in ASCII alone."""
    key, equals, value = word.partition("=")
    if value.isascii() or re.search(r"""['"]|\$\{""", value):
        return word
    special = r"\s,=\[\]{}()"  # what has a meaning of its own between values
    return f"{key}{equals}" + re.sub(
        rf"[^{special}]*[^\x00-\x7f{special}][^{special}]*", lambda found: f"'{found[0]}'", value
    )


def _root_of(word: str) -> str:
    """`model@x.y=…`, `+model.width=…` → model."""
    found = re.match(r"[+~]*(\w+)", word)
    return found.group(1) if found else ""


def _is_anothers(command: str, target: str, own: bool = False) -> bool:
    """Whether a pipeline (…pipelines.train.Train, …studies.widths.Widths) is another command's;
    `own`: nobody's is too."""
    name = command.replace("-", "_")
    package, *folders, module, _ = ["", "", "", *target.split(".")][
        -max(4, target.count(".") + 1) :
    ]
    if not own and (package, *folders[:1]) not in ((OURS, "pipelines"), (OURS, "studies")):
        return False
    return "studies" not in folders if name == "study" else module != name


def _references(thing: Any) -> set[str]:
    """The keys that interpolations inside a raw tree refer to, with dots: `${sgd.momentum}` →
    sgd.momentum."""
    if isinstance(thing, dict | list):
        return {
            key
            for value in (thing.values() if isinstance(thing, dict) else thing)
            for key in _references(value)
        }
    return (
        set(re.findall(r"\$\{(\w+(?:\.\w+)*)\.?(?=[}$\[])", thing))
        if isinstance(thing, str)
        else set()
    )


def _at(raw: Any, key: str) -> Any:
    """What stands at a key with dots in a raw tree."""
    for part in key.split("."):
        raw = raw.get(part) if isinstance(raw, dict) else None
    return raw


def _is_read(key: str, read: set[str]) -> bool:
    """Whether a key, something in it, or what it is a part of is read."""
    return any(f"{key}.".startswith(f"{other}.") or other.startswith(f"{key}.") for other in read)


def _unread(
    key: str, root: str, parameters: list[str], read: set[str], keys: list[str]
) -> tuple[str, str]:
    """(where, what): why what the user set would have no effect."""
    if not _is_read(root, read):
        return root, f"nothing here reads {root!r}; leave it out"
    leaf = key.rpartition(".")[2]
    if leaf in parameters and leaf != key:
        return key, f"{leaf}= is given too, and the two are one; leave one of them out"
    return key, "nothing here reads it" + (
        meant(key, [name for name in keys if _is_read(name, read)]) or "; leave it out"
    )


def _as_typed(fault: str, raw: dict[str, Any], where: str = "") -> str:
    """A fault of `landscape.data.path` as one of `data.path`, where `landscape.data` is written
    `${data}`."""
    for key, value in raw.items():
        path = f"{where}{key}"
        if isinstance(value, str) and (reference := re.fullmatch(r"\$\{([\w.]+)\}", value)):
            fault = re.sub(rf"(?<![\w.]){re.escape(path)}(?=[:=.\[])", reference.group(1), fault)
        elif isinstance(value, dict):
            fault = _as_typed(fault, value, f"{path}.")
    return fault


def _read(
    raw: dict[str, Any], tree: dict[str, Any], checker: Checker
) -> tuple[list[str], set[str]]:
    """(root keys that are the pipeline's own, all keys that are read, with dots).

    What is neither a setting nor a parameter may be a group that others refer to, such as `model`,
    or to a part of which, such as `sgd.steps`; with `landscape=quadratic` nothing refers to
    `model`.
    """
    target = checker.resolve(tree.get("_target_"), "_target_")
    known = set(inspect.signature(target).parameters) if target else set()
    choices = groups()
    parameters = [
        key for key in tree if key not in SETTINGS and (key in known or key not in choices)
    ]
    read = {*parameters, *SETTINGS}
    while more := {key for name in read for key in _references(_at(raw, name))} - read:
        read |= more
    return parameters, read


def _primary(
    command: str, overrides: list[str], from_file: Path | None
) -> tuple[str, tuple[str, ...]]:
    """(the name of the primary config, what is to be said of it); a run's own config.yaml is
    registered as one."""
    name = command.replace("-", "_")
    if from_file is None:
        return name, ()
    if any(_root_of(word) == "experiment" for word in overrides):
        raise UserError("--from and experiment= are two starting points; give one of them")
    whole = _read_whole(from_file)
    raw = science_of(whole, str(from_file))
    if _is_anothers(command, str(raw["_target_"]), own=True):
        raise UserError(
            f"{from_file} belongs to another command ({raw['_target_']}), not to {command}"
        )
    known = [group for group in groups() if group not in ("experiment", "executor")]
    for word in overrides:
        if (group := word.partition("=")[0].lstrip("+")) in known:
            # a new choice replaces the old one whole instead of being merged into it
            raw.pop(group, None)
    defaults = [
        "base",
        {"executor": "local"},
        "_self_",
        *({group: [] if group == "diagnostic" else None} for group in known),
    ]
    ConfigStore.instance().store(
        name=FROM_FILE, node=OmegaConf.create({**raw, "defaults": defaults})
    )
    left = left_behind(whole, _usual())
    said = (
        f"{from_file}: its {', '.join(left)} {'is' if len(left) == 1 else 'are'} not "
        f"taken; the command line says where and how"
    )
    return FROM_FILE, (said,) if left else ()


def _leaves(tree: Any, prefix: str = "") -> list[str]:
    if not isinstance(tree, dict):
        return [prefix.rstrip(".")]
    return [leaf for key, value in tree.items() for leaf in _leaves(value, f"{prefix}{key}.")]


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
