"""Hydra's own front end, called as a function: its words are given, its complaints caught."""

import argparse
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from types import SimpleNamespace
from typing import Any

import hydra
import hydra._internal.hydra
import hydra._internal.utils
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from sgdtheory.commandline.composer import as_plain_data, last_line
from sgdtheory.commandline.targets import CONFIGS
from sgdtheory.errors import UserError


def run_hydra(
    name: str,
    flags: list[str],
    overrides: list[str],
    job: Callable[[DictConfig], None],
    only_flags_say_how_many: bool,
) -> None:
    """Have Hydra compose the configuration of a name and hand each that these words mean to `job`.

    Raises UserError where Hydra refuses the flags; what it raises of the configuration passes.
    `only_flags_say_how_many`: whether nothing but flags can ask for several jobs.
    """
    caught = io.StringIO()
    complaints = sys.stderr if "hydra-help" in str(flags) else caught
    speaking = _speaking(job)
    try:
        with (
            _as_if_called(["sgdtheory", *flags, *overrides]),
            as_plain_data(),
            _composed_once() if only_flags_say_how_many else nullcontext(),
            redirect_stderr(complaints),
        ):
            hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=name)(speaking)()
    except SystemExit as stop:
        if stop.code not in (0, None):
            refusal = last_line(caught.getvalue())
            raise UserError(refusal or f"Hydra refused {' '.join(flags)}") from None


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
