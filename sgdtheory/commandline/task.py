"""From a composed configuration to a task: checked against the signatures it names, then built."""

import inspect
import re
from dataclasses import replace
from functools import partial
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sgdtheory.commandline.complaints import first_line, key_of, paths_of
from sgdtheory.commandline.composer import groups
from sgdtheory.commandline.earlier import adopt, ground_of
from sgdtheory.commandline.habits import meant, value_meant
from sgdtheory.commandline.schema import Checker, build, refuse
from sgdtheory.commandline.stored import kept_yaml, read_yaml, usual_settings
from sgdtheory.commandline.targets import is_anothers
from sgdtheory.commandline.words import key_set_by, root_of
from sgdtheory.errors import RunError, UserError, nearest
from sgdtheory.runs.run import Pipeline
from sgdtheory.runs.task import Settings, Task, Where

SETTINGS = ("device", "threads", "run", "executor")


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
    if is_anothers(command, target := str(cfg.get("_target_"))):
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
                cfg, map(key_set_by, overrides), read_yaml, identity, newest=command == "connect"
            )
        raw: Any = OmegaConf.to_container(cfg, resolve=False)
        yaml = kept_yaml(cfg)
        cfg.device = resolve_device(str(cfg.device), checker)
        own = OmegaConf.select(cfg, "landscape.device")
        if own not in (None, cfg.device):  # asked for by itself
            cfg.landscape.device = resolve_device(str(own), checker, "landscape.device")
        tree: Any = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as fault:
        raise UserError(first_line(str(fault))) from None
    parameters, read = _read(raw, tree, checker)
    for key in dict.fromkeys(map(key_of, overrides)):
        if (root := root_of(key)) in tree and not _is_read(key, read):
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
            command,
            built,
            placed,
            science,
            yaml,
            trust,
            overrides,
            ground,
            (*said, *notes),
            is_closed=science == pipeline.science
            and not (checker.looked_outside or _has_content(science)),
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


def _has_content(tree: Any) -> bool:
    """Whether an identity holds the digest of something that was read while it was built."""
    if isinstance(tree, dict):
        return "content" in tree or any(map(_has_content, tree.values()))
    return isinstance(tree, list) and any(map(_has_content, tree))


def _landscape_of(cfg: DictConfig, trust: tuple[str, ...]) -> Any:
    """The landscape of a configuration as plain data without places; None where something is wrong
    with it."""
    try:
        # a landscape names `device`
        tree: Any = OmegaConf.to_container(OmegaConf.merge(usual_settings(), cfg), resolve=True)
    except OmegaConfBaseException:
        return None
    landscape = tree.get("landscape")
    is_node = isinstance(landscape, dict) and "_target_" in landscape
    node = Checker(trust).node(landscape, "landscape") if is_node else None
    return None if node is None else node.science


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
