"""Whether a directory is a task's own, and not another run, another thing, or an edited one."""

from sgdtheory.errors import UserError
from sgdtheory.runs.configuration import config_digest, refuse_edited
from sgdtheory.runs.digests import sha256_of
from sgdtheory.runs.leases import LEASE
from sgdtheory.runs.locks import LOCK
from sgdtheory.runs.run import EXAMPLES, GIVEN_POINTS, Run, changed_since
from sgdtheory.runs.task import Task
from sgdtheory.runs.writing import OURS


def refuse_another(run: Run, task: Task) -> None:
    """A directory that holds another run, something else, or a configuration that was edited is
    left alone."""
    manifest = run.manifest
    if not manifest and (not run.path.exists() or _is_empty(run, task)):
        return
    if "config_hash" not in manifest:
        raise UserError(
            f"{run.path} holds something that is no run; give run.dir an empty or a new directory"
        )
    if manifest["config_hash"] != run.hash:
        if manifest.get("landscape") not in (None, task.ground) and _is_same_but_for_sources(
            run, task
        ):
            raise UserError(f"{changed_since(run.path)}, in another run.dir")
        other = f"{manifest.get('command')} {str(manifest['config_hash'])[:8]}"
        raise UserError(f"{run.path} holds another run ({other}); give another run.dir")
    refuse_edited(run.path, manifest, task.yaml)


def _is_same_but_for_sources(run: Run, task: Task) -> bool:
    """Whether a run's configuration says the same as a task's: then it is what the words stand for
    that has changed."""
    try:
        return config_digest(run.path) == sha256_of(task.yaml)
    except (UserError, OSError):  # it is no file of ours
        return False


def _is_empty(run: Run, task: Task) -> bool:
    """Whether a directory holds nothing but what a run that was killed at once may have left."""
    if not run.path.is_dir():
        return False
    for path in run.path.iterdir():
        theirs = path.name == "config.yaml" and not _is_same_but_for_sources(run, task)
        if theirs or not (
            path.name in (LOCK, "config.yaml", EXAMPLES, GIVEN_POINTS)
            or path.name.startswith(LEASE)
            or OURS.fullmatch(path.name)
        ):
            return False
    return True
