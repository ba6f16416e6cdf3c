"""Where the minima that are joined came from."""

from pathlib import Path

from sgdtheory.runs.folder import Folder, Json
from sgdtheory.runs.run import GIVEN_POINTS, results_of
from sgdtheory.statistics.rows import error_of


def origin_of(files: tuple[Path, ...] | None) -> Json:
    """A run, with its training error and when it ended, files, a call from Python, or the formula
    itself.

    Raises CorruptFile where the results of the run are not what it wrote.

    """
    if files is None:
        return {"landscape": "the minima that it states"}
    if files[0].name == GIVEN_POINTS:
        return {"given": "to a call from Python"}
    run = Folder(files[0].parent)
    manifest = {}
    if len(files) == 1:
        manifest = run.read_json("manifest.json", {})
    if files[0].name not in manifest.get("files", {}):
        return {"files": [str(file) for file in files]}
    return {"run": str(run.path), **_facts_of(run.path, manifest)}


def _facts_of(run: Path, manifest: Json) -> Json:
    """How many minima a run has, the largest of their training errors, and when it ended."""
    results = results_of(run, manifest)
    rows = results.get("minima")
    facts: Json = {"minima": None, "minima_why": "the results of that run were not there"}
    if rows is not None:
        facts = {"minima": len(rows)}
    errors = []
    for row in rows or []:
        error = row.get("train_error")
        if error is not None:
            errors.append(error)
    worst = max(errors, default=None)
    ended = manifest.get("finished")
    return {**facts, "train_error": worst, "error": error_of(results), "finished": ended}
