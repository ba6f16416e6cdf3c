"""In tests Hydra reads each of the package's own files once a process, and puts the same choices
together once; the words besides are applied every time, and so is all that is done with them."""

import pickle
from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any

from hydra._internal import config_loader_impl, defaults_list
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import DictConfig

from sgdtheory.commandline.front import FROM_FILE
from sgdtheory.commandline.targets import CONFIGS

Function = Callable[..., Any]
# what no test changes
CONSTANT = {"pkg://hydra.conf", f"file://{CONFIGS}", "structured://"}


def compose_once() -> None:
    """Have Hydra remember what it read and what it put together: a tenth of a second each time."""
    Plugins.instance()  # it loads the classes of sources anew
    for scheme in ("file", "pkg"):
        source: Any = SourcesRegistry.instance().resolve(scheme)
        source.load_config = _read_once(source.load_config)
    module: Any = config_loader_impl
    module.create_defaults_list = _listed_once(module.create_defaults_list)
    loader: Any = config_loader_impl.ConfigLoaderImpl
    loader._compose_config_from_defaults_list = _merged_once(
        loader._compose_config_from_defaults_list
    )
    tree: Any = defaults_list
    tree._create_interpolation_map = _where_there_are_some(tree._create_interpolation_map)


def _read_once(read: Function) -> Function:
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


def _listed_once(create: Function) -> Function:
    """The list of the files to merge: only choices of groups decide it."""
    known: dict[Hashable, bytes] = {}

    @wraps(create)
    def remembered(
        repo: Any, config_name: str | None, overrides_list: list[Any], **named: Any
    ) -> Any:
        if not _reads_constants_alone(repo):
            return create(repo, config_name, overrides_list, **named)
        words = [override for override in overrides_list if not override.is_sweep_override()]
        choices = [word for word in words if _is_choice(repo, word)]
        lines = tuple(word.input_line for word in choices)
        key = (config_name, _stored(config_name), lines, tuple(named.items()))
        if key not in known:
            known[key] = pickle.dumps(create(repo, config_name, choices, **named))
        found = pickle.loads(known[key])
        found.config_overrides.extend(word for word in words if not _is_choice(repo, word))
        return found

    return remembered


def _merged_once(merge: Function) -> Function:
    known: dict[Hashable, bytes] = {}

    @wraps(merge)
    def remembered(self: Any, defaults: list[Any], repo: Any) -> DictConfig:
        if not _reads_constants_alone(repo):
            merged: DictConfig = merge(self, defaults=defaults, repo=repo)
            return merged
        key = tuple((repr(default), _stored(default.config_path)) for default in defaults)
        if key not in known:
            known[key] = pickle.dumps(merge(self, defaults=defaults, repo=repo))
        cfg: DictConfig = pickle.loads(known[key])
        return cfg

    return remembered


def _where_there_are_some(choices: Function) -> Function:
    """What interpolations in a list of defaults refer to, for a list that has some."""

    @wraps(choices)
    def of_interpolations(overrides: Any, defaults: list[Any], self_added: bool) -> Any:
        if any(default.is_interpolation() for default in defaults):
            return choices(overrides, defaults, self_added)
        return None

    return of_interpolations


def _is_choice(repo: Any, override: Any) -> bool:
    """Whether a word chooses of a group, as Hydra sees it."""
    is_tree = isinstance(override.value(), dict)
    return not is_tree and bool(repo.group_exists(override.key_or_group))


def _place(source: Any) -> str:
    return f"{source.scheme()}://{source.path}"


def _reads_constants_alone(repo: Any) -> bool:
    """Whether no file is read that a test may change."""
    return CONSTANT.issuperset(map(_place, repo.get_sources()))


def _stored(config_name: str | None) -> str:
    """The text of an earlier run's configuration, where that is the one to compose."""
    stored: Any = ConfigStore.instance().repo
    return str(stored[f"{FROM_FILE}.yaml"]) if config_name == FROM_FILE else ""
