"""What a run has found, written down: clouds, numbers, table, report."""

import json

from sgdtheory import __version__
from sgdtheory.execution.versions import strangers
from sgdtheory.runs.garbage import not_looked_for
from sgdtheory.runs.plain import Json
from sgdtheory.runs.run import Pipeline, Run
from sgdtheory.runs.task import Task


def draw_report(run: Run) -> None:
    """The report with its pictures, and in the manifest what there is of them."""
    from sgdtheory.report.page import draw

    with not_looked_for():  # the many small things of a picture are garbage all at once
        draw(run.path)
    drawn = [
        "report.html",
        *sorted(f"figures/{path.name}" for path in run.path.glob("figures/[!.]*")),
    ]
    if drawn != run.manifest.get("drawn"):  # or an old run would count as the newest
        run.note(drawn=drawn)


def finish(run: Run, task: Task, seconds: float) -> Json:
    """Write what a run has found: clouds, logs, units, numbers, table, report."""
    from sgdtheory.report.page import table_csv
    from sgdtheory.roles.facts import error_of_loss, title_of, unit_of_loss

    units = task.pipeline.units(run)
    results = task.pipeline.finish(run)
    rows = run.status_of_units(units)
    landscape = getattr(task.pipeline, "landscape", None)
    found = {
        "command": task.command,
        "seed": run.science.get("seed"),
        "landscape": title_of(landscape),
        "dim": getattr(landscape, "dim", None),
        "scores": {"unit": unit_of_loss(landscape), "error": error_of_loss(landscape)},
        "device": task.settings.units_device,
        "seconds": seconds,
        "version": __version__,
        "config_hash": run.hash,
        "warnings": [*warnings_of(task.pipeline), *strangers(rows)],
        "claims": [claim.as_dict() for claim in results.claims],
        **results.numbers,
        **results.tables,
    }
    files = {name: run.write_tensors(name, tensors) for name, tensors in results.clouds.items()}
    logged: list[Json] = []
    for unit in units:
        logged += [{"unit": unit.name, **row} for row in run.folder(unit).logged()]
    files["metrics.jsonl"] = run.write_text(
        "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in logged)
    )
    run.write_json("units.json", rows)
    files["results.json"] = run.write_json("results.json", found)
    files["table.csv"] = run.write_text("table.csv", table_csv(found))
    seconds_of_units = sum(row.get("seconds", 0.0) for row in rows)
    cpu_seconds = sum(row.get("cpu_seconds", 0.0) for row in rows)
    run.note(files=files, cost={"seconds": seconds_of_units, "cpu_seconds": cpu_seconds})
    draw_report(run)
    return found


def warnings_of(pipeline: Pipeline) -> list[str]:
    """What the user should know of the data before believing the rest: one line, or none."""
    warnings = []
    for name in ("landscape", "network"):
        source = getattr(pipeline, name, None)
        data = getattr(source, "data", None) or getattr(source, "keywords", {}).get("data")
        if data is not None and getattr(data, "remarks", None):
            warnings.append(f"data {data.name}: {'; '.join(data.remarks)}")
    return warnings
