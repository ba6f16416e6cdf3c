"""The config.yaml that a run wrote, asked for in one place by all that read it."""

import hashlib
from pathlib import Path

from sgdtheory.errors import UserError
from sgdtheory.runs.digests import sha256_of
from sgdtheory.runs.foreign import MOST_YAML, bytes_of
from sgdtheory.runs.plain import Facts

CONFIG = "config.yaml"


def config_digest(run: Path) -> str:
    """SHA-256 of the configuration that is kept. It is compared, not built: it may be a
    stranger's."""
    return hashlib.sha256(bytes_of(run, CONFIG, MOST_YAML)).hexdigest()


def refuse_edited(run: Path, manifest: Facts, about_to_write: str | None = None) -> None:
    """Raise UserError where config.yaml is neither what the run wrote nor what it is about to
    write: its minima and numbers are not of what stands there."""
    known = manifest.get("config_sha256")
    if known is None:  # in a manifest of an older version
        return
    try:
        kept = config_digest(run)
    except FileNotFoundError:
        return  # whoever needs it says so
    rewritten = about_to_write is not None and kept == sha256_of(about_to_write)
    if kept != known and not rewritten:
        raise UserError(
            f"{run / CONFIG} was edited since the run began: put it back, or give it to --from "
            f"for a new run"
        )
