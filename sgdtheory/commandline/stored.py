"""The config.yaml of a run, which may be a stranger's: science and numbers, read as plain data."""

from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sgdtheory.commandline.complaints import first_line
from sgdtheory.commandline.strangers import science_of
from sgdtheory.commandline.targets import CONFIGS
from sgdtheory.errors import UserError
from sgdtheory.runs.foreign import MOST_YAML, reads_outside, refuse_strange_yaml, text_of


def read_yaml(path: Path) -> DictConfig:
    """The science of a run's config.yaml, under the usual settings: its own are not taken, and
    nothing else is read."""
    return OmegaConf.create({**usual_settings(), **science_of(read_whole(path), str(path))})


def read_whole(path: Path) -> dict[str, Any]:
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
def usual_settings() -> dict[str, Any]:
    """The settings that a command has when none are given."""
    base: Any = OmegaConf.to_container(OmegaConf.load(CONFIGS / "base.yaml"), resolve=False)
    base["executor"] = OmegaConf.to_container(OmegaConf.load(CONFIGS / "executor" / "local.yaml"))
    return {key: value for key, value in base.items() if key not in ("defaults", "hydra")}


def kept_yaml(cfg: DictConfig) -> str:
    """The text of config.yaml, as a run of this configuration keeps it."""
    raw: Any = OmegaConf.to_container(cfg, resolve=False)
    return OmegaConf.to_yaml(OmegaConf.create(_settled(raw, cfg)))


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
