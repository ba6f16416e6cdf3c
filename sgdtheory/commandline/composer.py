"""Hydra without its front end: what words compose to, or why not.

Nothing that a configuration says of Hydra itself is built.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from sgdtheory.commandline.complaints import paths_of
from sgdtheory.commandline.stored import plain_tree
from sgdtheory.commandline.targets import CONFIGS
from sgdtheory.commandline.trust import trust_working_directory
from sgdtheory.errors import UserError, nearest
from sgdtheory.pipelines.checkpoints.files import SUFFIXES
from sgdtheory.runs.plain import Json

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
# the commands that read points
TAKE_POINTS = ("connect", "diagnose", "sweep_temperature")
# what Hydra raises for words it cannot use
COMPOSITION = (
    HydraException,
    OmegaConfBaseException,
    ValueError,
    TypeError,
    AssertionError,
)


def trust_packages(trust: tuple[str, ...]) -> None:
    """Look in the working directory for trusted packages, after Hydra has looked for its plug-ins
    elsewhere."""
    if trust:
        Plugins.instance()
    trust_working_directory(trust)


@contextmanager
def as_plain_data() -> Iterator[None]:
    """In this block Hydra composes, and builds nothing of what a configuration says of Hydra
    itself: whatever file that stands in, or on the command line, it is refused before Hydra
    reads it."""
    Plugins.instance()  # it knows the class that reads configurations from packages
    front: Any = ConfigLoaderImpl
    sources: Any = SourcesRegistry.instance().resolve("pkg")
    load, source = front.load_configuration, sources.__init__
    sweep, tried = front.load_sweep_config, dict[tuple[str, ...], DictConfig]()

    def loaded(*args: object, **kwargs: object) -> DictConfig:
        cfg: DictConfig = load(*args, **kwargs)
        is_help = kwargs.get("config_name") is None and not kwargs.get("overrides")
        if not is_help:  # Hydra's own, of itself alone
            _refuse_calls(plain_tree(cfg.hydra, resolve=False))
        return cfg

    def swept(self: object, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """A job of a sweep, which Hydra composes to see whether it can, and again to begin it."""
        words = tuple(sweep_overrides)
        job = tried.pop(words, None)
        if job is None:
            job = tried[words] = sweep(self, master_config, sweep_overrides)
        return job

    def found(self: object, provider: str, path: str) -> None:
        package = path.partition("://")[2].split("/")[0].split(".")[0]
        if package != "hydra":
            raise UserError(
                f"{path}: configurations are read from folders, by --config-dir, not from packages"
            )
        source(self, provider, path)

    front.load_configuration, sources.__init__ = loaded, found
    front.load_sweep_config = swept
    try:
        yield
    finally:
        front.load_configuration, sources.__init__ = load, source
        front.load_sweep_config = sweep


def _refuse_calls(settings: Json) -> None:
    """Raise UserError where the section `hydra` of a composed configuration names something that
    would be called."""
    wrong = next(_calls(settings), None)
    if wrong is not None:
        raise UserError(
            f"{wrong}: Hydra's own settings may not name what is run, wherever they "
            f"stand; leave it out"
        )


def _calls(settings: Json) -> Iterator[str]:
    """The keys of the section `hydra` by which something would be called."""
    if settings.get("callbacks"):
        yield "hydra.callbacks"
    for key in ("job_logging", "hydra_logging"):
        if (settings.get(key) or QUIET) != QUIET:
            yield f"hydra.{key}"
    job = settings.get("job") or {}
    for key in ("env_set", "env_copy"):
        if job.get(key):
            yield f"hydra.job.{key}"
    for key in ("launcher", "sweeper"):
        plugin = settings.get(key)
        target = plugin.get("_target_") if isinstance(plugin, dict) else None
        if not str(target).startswith(PLUGINS):
            yield f"hydra.{key}._target_"
    for path in paths_of(settings, "hydra."):
        if path.endswith("._target_") and path.count(".") > 2:
            yield path


def groups(*directories: Path | str | None) -> dict[str, list[str]]:
    """The choices in every group, of the package and of a user's --config-dir."""
    choices: dict[str, list[str]] = {}
    for directory in (CONFIGS, *(Path(d) for d in directories if d)):
        for folder in sorted(path for path in directory.iterdir() if path.is_dir()):
            names = sorted(file.stem for file in folder.glob("*.yaml"))
            choices.setdefault(folder.name, []).extend(names)
    return choices


def completions(command: str, incomplete: str) -> list[str]:
    """What may follow an unfinished override: groups and keys, or the choices of a group."""
    # bash splits words at "=", Typer joins them with newlines
    incomplete = re.sub(r"\n?=\n?", "=", incomplete)
    key, equals, value = incomplete.partition("=")
    choices = groups()
    if equals:
        return [f"{key}={choice}" for choice in choices.get(key, []) if choice.startswith(value)]
    tree = ConfigComposer(command.replace("-", "_"), None).compose([])
    names = [*choices, *(_leaves(tree) if isinstance(tree, dict) else [])]
    return sorted({f"{name}=" for name in names if name.startswith(incomplete)})


def keys_of(command: str) -> tuple[Json, list[str]]:
    """(the tree of a command's defaults, all its keys with dots); what a study has it alone
    knows."""
    composer = ConfigComposer(command.replace("-", "_"), None)
    tree = composer.compose([])
    known = tree if isinstance(tree, dict) else {}
    return known, [*paths_of(known), *composer.choices]


def parts_of(name: str, overrides: list[str], directory: str | None) -> list[tuple[Path, str]]:
    """The yamls that a configuration is composed of, ours and those of a user's --config-dir, each
    with where its keys stand in the whole; later ones win."""
    folders = [Path(directory), CONFIGS] if directory else [CONFIGS]
    GlobalHydra.instance().clear()
    with as_plain_data(), hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        words = [*overrides, *_search_path(directory)]
        parts = loader.compute_defaults_list(name, words, RunMode.RUN).defaults
    found: list[tuple[Path, str]] = []
    for part in parts:
        files = [folder / f"{part.config_path}.yaml" for folder in folders]
        existing = [file for file in files if file.is_file()]
        found += [(file, part.package or "") for file in existing[:1]]
    return found


def _search_path(directory: str | None) -> list[str]:
    """What tells Hydra of a folder of the user's."""
    return [f"hydra.searchpath=[file://{Path(directory).resolve()}]"] if directory else []


class ConfigComposer:
    """Hydra without its front end: what overrides compose to, or why not."""

    def __init__(self, name: str, directory: str | None) -> None:
        self.name, self.choices = name, groups(directory)
        self.search = _search_path(directory)
        # each takes a tenth of a second
        self.composed: dict[tuple[str, ...], Json | Exception] = {}

    def compose(self, words: list[str]) -> Json | Exception:
        if tuple(words) not in self.composed:
            self.composed[tuple(words)] = self._compose(words)
        return self.composed[tuple(words)]

    def _compose(self, words: list[str]) -> Json | Exception:
        GlobalHydra.instance().clear()
        try:
            with as_plain_data(), hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
                cfg = hydra.compose(self.name, overrides=[*words, *self.search])
                return plain_tree(cfg, resolve=False)
        except COMPOSITION as fault:
            return fault

    def _bare_word_meant(self, word: str) -> str:
        """A hint at what is meant by a word that sets nothing: a group, a file of weights."""
        if word in self.choices:
            return f"; `sgdtheory list {word}` says what there is"
        if self.name in TAKE_POINTS and (word.endswith(SUFFIXES) or Path(word).exists()):
            return f"; did you mean 'minima={word}'?"
        return nearest(word, list(self.choices))

    def parse(self, word: str) -> str | None:
        """Why one word is no override, None when it is one."""
        if "=" not in word and not word.startswith("~"):
            group = next((group for group, names in self.choices.items() if word in names), None)
            hint = f"; did you mean '{group}={word}'?" if group is not None else ""
            hint = hint or self._bare_word_meant(word)
            return f"{word or repr(word)}: an override is key=value{hint}"
        try:
            override = OverridesParser.create().parse_override(word)
        except HydraException as fault:
            reason, *_ = last_line(str(fault)).split(" expecting {")  # all that might have stood
            return f"{word}: cannot be read ({reason}); quote what is special, {_quoted(word)}"
        if override.is_sweep_override():
            return (
                f"{word}: several values need --multirun; one value that is a list is written [1,2]"
            )
        return None


def _quoted(word: str) -> str:
    """How a word that cannot be read is written, for a shell: its value is one text, unless it has
    quotes of its own or was to be a list."""
    key, _, value = word.partition("=")
    if value.startswith(("[", "{")) or not value or {*value} & {"'", '"'}:
        return "e.g. 'key=\"a b\"'"
    return f"'{key}=\"{value}\"'"


def _leaves(tree: object, prefix: str = "") -> list[str]:
    if not isinstance(tree, dict):
        return [prefix.rstrip(".")]
    leaves: list[str] = []
    for key, value in tree.items():
        leaves += _leaves(value, f"{prefix}{key}.")
    return leaves


def last_line(text: str) -> str:
    """The last line that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
