"""From a composed configuration to a task: checked against the signatures it names, then built."""

import re
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sgdtheory.commandline.complaints import first_line
from sgdtheory.commandline.devices import device_meant, why_no_device
from sgdtheory.commandline.earlier import adopt
from sgdtheory.commandline.keys_read import SETTINGS, parameters_read
from sgdtheory.commandline.minima_runs import digest_of_landscape
from sgdtheory.commandline.schema import Checker, Node, build, is_node, refuse
from sgdtheory.commandline.start import adopt_start
from sgdtheory.commandline.stored import kept_yaml, plain_tree, read_yaml, usual_settings
from sgdtheory.commandline.targets import is_anothers
from sgdtheory.commandline.words import key_set_by
from sgdtheory.errors import RunError, UserError
from sgdtheory.runs.plain import Json
from sgdtheory.runs.run import Pipeline, identity_of
from sgdtheory.runs.task import Settings, Task, Where


class _Configuration(NamedTuple):
    """A composed configuration as plain data."""

    raw: Json  # with its interpolations
    tree: Json  # these followed
    yaml: str  # as the run keeps it
    notes: tuple[str, ...]  # what is to be said of the points that were chosen


class _Plans(NamedTuple):
    """What a configuration describes, checked and not yet built."""

    pipeline: Node
    settings: Node
    where: Node


def task(
    command: str,
    cfg: DictConfig,
    trust: tuple[str, ...] = (),
    overrides: tuple[str, ...] = (),
    said: tuple[str, ...] = (),
) -> Task:
    """Check a composed configuration and build what it describes; all that is wrong is told in one
    UserError."""
    _refuse_anothers(command, cfg)
    checker = Checker(trust)
    configuration = _configuration(command, cfg, checker, overrides)
    plans = _checked(configuration, checker, overrides)
    notes = configuration.notes
    if notes and command == "connect" and cfg.get("minima") is None:
        stated = "so the minima that the landscape itself states are joined"
        configuration = configuration._replace(notes=(*notes, stated))
    try:
        return _built(command, configuration, plans, checker, overrides, said)
    except RunError:
        raise
    except (ValueError, TypeError, RuntimeError) as fault:  # what a constructor refuses
        is_ours = isinstance(fault, UserError)
        lines = str(fault).splitlines()[:3] if is_ours else [first_line(str(fault))]
        raise UserError("\n".join([*lines, *notes[:2]])) from fault


def _refuse_anothers(command: str, cfg: DictConfig) -> None:
    """Raise UserError for a configuration that describes no command, or another one."""
    if missing := [key for key in ("_target_", *SETTINGS) if key not in cfg]:
        raise UserError(f"this configuration describes no command: it has no {', '.join(missing)}")
    target = str(cfg.get("_target_"))
    if is_anothers(command, target):
        raise UserError(
            f"{target} belongs to another command, not to {command}; its own is "
            f"--config-name {command.replace('-', '_')}"
        )


def _configuration(
    command: str, cfg: DictConfig, checker: Checker, overrides: tuple[str, ...]
) -> _Configuration:
    """Plain data, with the points that are meant and the devices that are there."""
    notes: tuple[str, ...] = ()
    try:  # reading a key follows its interpolation, which may lead nowhere
        if not isinstance(cfg.run, DictConfig):
            raise UserError(
                f"run: is a group of keys (run.root, run.dir, run.name), not {cfg.run!r}"
            )
        if command != "train" and "minima" in cfg:
            identity = partial(_landscape_of, trust=checker.roots[1:])
            touched = map(key_set_by, overrides)
            notes = adopt(cfg, touched, read_yaml, identity, newest=command == "connect")
        if command == "train" and "start" in cfg:
            identity = partial(_landscape_of, trust=checker.roots[1:])
            notes = adopt_start(cfg, map(key_set_by, overrides), read_yaml, identity)
        raw, yaml = plain_tree(cfg, resolve=False), kept_yaml(cfg)
        cfg.device = resolve_device(str(cfg.device), checker)
        own = OmegaConf.select(cfg, "landscape.device")
        if own not in (None, cfg.device):  # asked for by itself
            cfg.landscape.device = resolve_device(str(own), checker, "landscape.device")
        return _Configuration(raw, plain_tree(cfg, resolve=True), yaml, notes)
    except OmegaConfBaseException as fault:
        raise UserError(first_line(str(fault))) from None


def _checked(configuration: _Configuration, checker: Checker, overrides: tuple[str, ...]) -> _Plans:
    """Check all that a configuration says, and that every key that was set is read."""
    raw, tree = configuration.raw, configuration.tree
    parameters = parameters_read(raw, tree, checker, overrides)
    where = checker.call(Where, tree["run"], "run")
    settings = checker.call(Settings, {key: tree[key] for key in SETTINGS if key != "run"}, "")
    pipeline = checker.node({key: tree[key] for key in parameters}, "", Pipeline)
    refuse([_as_typed(fault, raw) for fault in checker.faults])
    assert pipeline is not None
    return _Plans(pipeline, settings, where)


def _built(
    command: str,
    configuration: _Configuration,
    plans: _Plans,
    checker: Checker,
    overrides: tuple[str, ...],
    said: tuple[str, ...],
) -> Task:
    trust = checker.roots[1:]
    settings = replace(build(plans.settings), where=build(plans.where), trust=trust)
    ground = digest_of_landscape(plans.pipeline.science.get("landscape"))
    pipeline: Pipeline = build(plans.pipeline)
    science = identity_of(pipeline, plans.pipeline.science)
    has_read = checker.looked_outside or _has_content(science)
    return Task(
        command,
        pipeline,
        settings,
        science,
        configuration.yaml,
        trust,
        overrides,
        ground,
        notes=(*said, *configuration.notes),
        is_closed=_is_within(science, plans.pipeline.science) and not has_read,
    )


def _is_within(identity: object, configuration: object) -> bool:
    """Whether an identity says nothing that the configuration does not say itself."""
    if not isinstance(identity, dict) or not isinstance(configuration, dict):
        return identity == configuration
    return all(
        key in configuration and _is_within(value, configuration[key])
        for key, value in identity.items()
    )


def _has_content(tree: object) -> bool:
    """Whether an identity holds the digest of something that was read while it was built."""
    if isinstance(tree, dict):
        return "content" in tree or any(map(_has_content, tree.values()))
    return isinstance(tree, list) and any(map(_has_content, tree))


def _landscape_of(cfg: DictConfig, trust: tuple[str, ...]) -> Json | None:
    """The landscape of a configuration as plain data without places; None where something is wrong
    with it."""
    try:
        # a landscape names `device`
        tree = plain_tree(OmegaConf.merge(usual_settings(), cfg), resolve=True)
    except OmegaConfBaseException:
        return None
    landscape = tree.get("landscape")
    if not is_node(landscape):
        return None
    node = Checker(trust).node(landscape, "landscape")
    return None if node is None else node.science


def resolve_device(name: str, checker: Checker, key: str = "device") -> str:
    """auto → the first GPU there is, else the CPU; a device that is not there is a fault of
    `key`."""
    device = device_meant(name)
    if why := why_no_device(device, key):
        checker.fault(key, why)
    return device


def _as_typed(fault: str, raw: Json, where: str = "") -> str:
    """A fault of `landscape.data.path` as one of `data.path`, where `landscape.data` is written
    `${data}`."""
    for key, value in raw.items():
        path = f"{where}{key}"
        if isinstance(value, str) and (reference := re.fullmatch(r"\$\{([\w.]+)\}", value)):
            written = rf"(?<![\w.]){re.escape(path)}(?=[:=.\[])"
            fault = re.sub(written, reference[1], fault)
        elif isinstance(value, dict):
            fault = _as_typed(fault, value, f"{path}.")
    return fault
