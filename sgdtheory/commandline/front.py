"""From the command line to tasks, by Hydra's own front end."""

import argparse
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hydra
import hydra._internal.hydra
import hydra._internal.utils
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sgdtheory.commandline.complaints import faults_of, first_line
from sgdtheory.commandline.composer import (
    COMPOSITION,
    ConfigComposer,
    as_plain_data,
    groups,
    last_line,
    trust_packages,
)
from sgdtheory.commandline.flags import flags_first, value_of
from sgdtheory.commandline.schema import refuse
from sgdtheory.commandline.stored import kept_yaml, read_whole, usual_settings
from sgdtheory.commandline.strangers import left_behind, science_of
from sgdtheory.commandline.targets import CONFIGS, is_anothers
from sgdtheory.commandline.words import first_of, in_ascii, quoted, root_of
from sgdtheory.errors import UserError, nearest
from sgdtheory.runs.run import Run, finished_run
from sgdtheory.runs.task import Task

FROM_FILE = "from_file"  # what Hydra knows the configuration of an earlier run by
PACKAGES = {
    "experiment": "_global_",
    "study": "_global_",
    "diagnostic": "diagnostic.{}",
    "estimator": "estimator.{}",
}


def launch(
    command: str,
    words: list[str],
    trust: tuple[str, ...],
    from_file: Path | None,
    job: Callable[[Task], None],
    again: Callable[[Run], None] | None = None,
) -> list[Exception]:
    """Compose with Hydra's own front end and hand every resulting task to `job`; gives what the
    jobs raised, in order.

    `again`: what is done instead where a finished run has the same configuration.
    `words`: overrides and Hydra's flags, in any order; a multirun gives several tasks. Raises
    UserError for wrong words.
    """
    trust_packages(trust)
    flags, overrides = flags_first(words)
    directory = value_of(flags, "--config-dir", "-cd")
    if directory is not None and not Path(directory).is_dir():
        raise UserError(f"--config-dir {directory}: no such folder")
    primary, notes = _primary(command, overrides, from_file)
    name = value_of(flags, "--config-name", "-cn") or primary
    spoken = [in_ascii(quoted(word)) for word in overrides]
    words = [first_of(word) for word in spoken] if {"-m", "--multirun"} & set(flags) else spoken
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
            done = None if again is None or trust else _finished(command, cfg)
            if again is not None and done is not None:
                again(done)
                return
            from sgdtheory.commandline.task import task

            job(task(command, cfg, trust, tuple(overrides), notes))
        except Exception as fault:
            raised.append(fault)

    said, speaking = io.StringIO(), _speaking(run)
    try:
        with (
            _as_if_called(["sgdtheory", *flags, *spoken]),
            as_plain_data(),
            _composed_once() if _says_nothing_of_hydra(directory, spoken) else nullcontext(),
            redirect_stderr(said if "hydra-help" not in str(flags) else sys.stderr),
        ):
            hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=name)(speaking)()
    except UserError:
        raise
    except COMPOSITION as fault:
        refuse(faults_of(words, ConfigComposer(name, directory)) or [first_line(str(fault))])
    except SystemExit as stop:
        if stop.code not in (0, None):
            raise UserError(
                last_line(said.getvalue()) or f"Hydra refused {' '.join(flags)}"
            ) from None
    return raised


def _finished(command: str, cfg: DictConfig) -> Run | None:
    """The run that has done what a configuration asks for, known without building anything."""
    if command in ("connect", "diagnose"):
        return None  # the points that they read are a part of what they are
    try:
        root = OmegaConf.select(cfg, "run.root")
        elsewhere = [OmegaConf.select(cfg, f"run.{key}") for key in ("dir", "name")]
        own_points = isinstance(cfg.get("minima"), int | None)
        if not own_points or not isinstance(root, str) or elsewhere != [None, None]:
            return None
        return finished_run(Path(root), command, kept_yaml(cfg))
    except OmegaConfBaseException:  # an interpolation that leads nowhere is told by the task
        return None


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


def _says_nothing_of_hydra(directory: str | None, overrides: list[str]) -> bool:
    """Whether only flags can say if several jobs are meant: our own files leave `hydra.mode` out,
    and what a run's file has of Hydra is not taken."""
    return directory is None and not any("hydra" in word for word in overrides)


@contextmanager
def _composed_once() -> Iterator[None]:
    """In this block Hydra does not compose everything a first time only to read `hydra.mode`, which
    takes as long as all else that it does."""
    front: Any = hydra._internal.hydra.Hydra
    before = front.get_mode
    front.get_mode = lambda self, config_name, overrides: None  # as flags have it
    try:
        yield
    finally:
        front.get_mode = before


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


def _primary(
    command: str, overrides: list[str], from_file: Path | None
) -> tuple[str, tuple[str, ...]]:
    """(the name of the primary config, what is to be said of it); a run's own config.yaml is
    registered as one."""
    name = command.replace("-", "_")
    if from_file is None:
        return name, ()
    if any(root_of(word) == "experiment" for word in overrides):
        raise UserError("--from and experiment= are two starting points; give one of them")
    whole = read_whole(from_file)
    raw = science_of(whole, str(from_file))
    if is_anothers(command, str(raw["_target_"]), own=True):
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
    left = left_behind(whole, usual_settings())
    said = (
        f"{from_file}: its {', '.join(left)} {'is' if len(left) == 1 else 'are'} not "
        f"taken; the command line says where and how"
    )
    return FROM_FILE, (said,) if left else ()
