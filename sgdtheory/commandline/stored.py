"""The config.yaml of a run, which may be a stranger's: science and numbers, read as plain data."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from sgdtheory.commandline.complaints import first_line
from sgdtheory.commandline.strangers import science_of
from sgdtheory.commandline.targets import CONFIGS
from sgdtheory.errors import UserError
from sgdtheory.runs.foreign import MOST_YAML, reads_outside, refuse_strange_yaml, text_of
from sgdtheory.runs.plain import Json

# what stands in the place of a configuration where none can say a landscape
FROM_PYTHON = "# {command}, called from Python on a landscape that no configuration says: {why}\n"
SAYS_SO = re.compile(r"# [\w-]+, called from Python on a landscape that .* says: (.{1,400})\n")


class Unnamed(UserError):
    """A run from Python whose landscape no configuration says."""


def read_yaml(path: Path) -> DictConfig:
    """The science of a run's config.yaml, under the usual settings: its own are not taken, and
    nothing else is read."""
    return OmegaConf.create({**usual_settings(), **science_of(read_whole(path), str(path))})


def plain_tree(cfg: DictConfig | ListConfig, resolve: bool) -> Json:
    """A configuration as plain data, its interpolations followed or not."""
    tree = OmegaConf.to_container(cfg, resolve=resolve)
    assert isinstance(tree, dict)  # every configuration of a command is a mapping
    return {str(key): value for key, value in tree.items()}


def read_whole(path: Path) -> Json:
    """All that stands in a run's config.yaml, as plain data."""
    text = text_of(path, MOST_YAML, "configuration")
    if said := SAYS_SO.fullmatch(text):
        raise Unnamed(f"{path.parent} was made from Python: {said[1]}")
    refuse_strange_yaml(text, str(path))
    try:
        tree = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except Exception as fault:  # whatever OmegaConf finds wrong with it
        raise UserError(f"{path} is no configuration: {first_line(str(fault))}") from None
    if not isinstance(tree, dict) or "_target_" not in tree:
        raise UserError(f"{path} is no run's config.yaml: it has no _target_")
    if strange := [key for key in tree if not isinstance(key, str)]:
        raise UserError(f"{path} is no run's config.yaml: {strange[0]!r} is no key")
    return {str(key): value for key, value in tree.items()}


@cache
def usual_settings() -> Json:
    """The settings that a command has when none are given."""
    base = plain_tree(_loaded("base.yaml"), resolve=False)
    base["executor"] = plain_tree(_loaded("executor/local.yaml"), resolve=False)
    return {key: value for key, value in base.items() if key not in ("defaults", "hydra")}


def _loaded(name: str) -> DictConfig | ListConfig:
    return OmegaConf.load(CONFIGS / name)


def kept_yaml(cfg: DictConfig) -> str:
    """The text of config.yaml, as a run of this configuration keeps it."""
    kept = _settled(plain_tree(cfg, resolve=False), cfg)
    return OmegaConf.to_yaml(OmegaConf.create(kept))


def _settled(raw: object, cfg: Any) -> Any:
    """A raw tree as a run keeps it: `${key}` as it is, and instead of what was read from outside
    the value that was read."""
    if isinstance(raw, dict):
        return {key: _settled(value, _inside(cfg, key, value)) for key, value in raw.items()}
    if isinstance(raw, list):
        return [_settled(value, _inside(cfg, i, value)) for i, value in enumerate(raw)]
    if cfg is None:
        return raw
    return OmegaConf.to_container(cfg) if OmegaConf.is_config(cfg) else cfg


def _inside(cfg: Any, key: object, raw: object) -> Any:
    """What a key of a configuration leads to, where that has to be looked up."""
    is_outside = isinstance(raw, str) and reads_outside(raw)
    return cfg[key] if is_outside or isinstance(raw, dict | list) else None
