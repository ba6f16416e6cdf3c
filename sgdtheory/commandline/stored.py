"""The config.yaml of a run, which may be a stranger's: science and numbers, read as plain data."""

from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sgdtheory.commandline.complaints import first_line
from sgdtheory.commandline.strangers import science_of
from sgdtheory.commandline.targets import CONFIGS
from sgdtheory.errors import UserError
from sgdtheory.runs.foreign import MOST_YAML, refuse_strange_yaml, text_of


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
