"""In tests Hydra reads each of the package's own files once a process, and composes the same words
once; what is done with a composed configuration is done every time."""

import pickle
from collections.abc import Callable, Hashable
from functools import wraps
from pathlib import Path
from typing import Any

from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.core_plugins.importlib_resources_config_source import (
    ImportlibResourcesConfigSource,
)
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobRuntime
from omegaconf import DictConfig

from sgdtheory.commandline.front import FROM_FILE
from sgdtheory.commandline.targets import CONFIGS

Loader = Callable[..., Any]
# what no test changes
CONSTANT = {"pkg://hydra.conf", f"file://{CONFIGS}", "structured://"}


def compose_once() -> None:
    """Have Hydra remember what it read and what it composed: a tenth of a second each time."""
    sources: list[Any] = [FileConfigSource, ImportlibResourcesConfigSource]
    for source in sources:
        source.load_config = _read_once(source.load_config)
    loader: Any = ConfigLoaderImpl
    loader._load_configuration_impl = _composed_once(loader._load_configuration_impl)
    tree: Any = defaults_list
    tree._create_interpolation_map = _where_there_are_some(tree._create_interpolation_map)


def _read_once(read: Loader) -> Loader:
    known: dict[str, bytes] = {}

    @wraps(read)
    def remembered(self: Any, config_path: str) -> Any:
        place = _place(self)
        if place not in CONSTANT:
            return read(self, config_path)
        file = f"{place}/{config_path}"
        if file not in known:
            known[file] = pickle.dumps(read(self, config_path))
        return pickle.loads(known[file])

    return remembered


def _composed_once(compose: Loader) -> Loader:
    known: dict[Hashable, bytes] = {}

    @wraps(compose)
    def remembered(
        self: Any, config_name: str | None, overrides: list[str], *rest: Any, **named: Any
    ) -> DictConfig:
        if not _reads_constants_alone(self, overrides):
            composed: DictConfig = compose(self, config_name, overrides, *rest, **named)
            return composed
        words = tuple(overrides)
        job = JobRuntime.instance().get("name")
        key = (config_name, _stored(config_name), words, rest, tuple(named.items()), job)
        if key not in known:
            known[key] = pickle.dumps(compose(self, config_name, overrides, *rest, **named))
        cfg: DictConfig = pickle.loads(known[key])
        cfg.hydra.runtime.cwd = str(Path.cwd())
        return cfg

    return remembered


def _where_there_are_some(choices: Loader) -> Loader:
    """What interpolations in a list of defaults refer to, for a list that has some."""

    @wraps(choices)
    def of_interpolations(overrides: Any, defaults: list[Any], self_added: bool) -> Any:
        if any(default.is_interpolation() for default in defaults):
            return choices(overrides, defaults, self_added)
        return None

    return of_interpolations


def _place(source: Any) -> str:
    return f"{source.scheme()}://{source.path}"


def _reads_constants_alone(loader: Any, overrides: list[str]) -> bool:
    """Whether only what no test changes decides what words compose to."""
    is_constant = CONSTANT.issuperset(map(_place, loader.get_sources()))
    return is_constant and not any("searchpath" in word for word in overrides)


def _stored(config_name: str | None) -> str:
    """The text of an earlier run's configuration, where that is the one to compose."""
    stored: Any = ConfigStore.instance().repo
    return str(stored[f"{FROM_FILE}.yaml"]) if config_name == FROM_FILE else ""
