"""What a task would do and cost, before anything is done."""

from sgdtheory.execution.machine import prepare_process
from sgdtheory.runs.run import LeavesOut, Pipeline, PlansUnits
from sgdtheory.runs.task import Plan, Task
from sgdtheory.runs.unit import Estimate


def plan(task: Task) -> Plan:
    """What a task would do and cost, from short measurements; writes nothing.

    As many units as are known, each like the first of them; or those that a pipeline foresees, each
    with its own cost.
    """
    run, settings = task.open(), task.settings
    checks = self_checks(task.pipeline)
    units = task.pipeline.units(run)
    pending = [unit for unit in units if run.folder(unit).status["status"] != "done"]
    prepare_process(settings, settings.executor.count(settings))
    costs: list[tuple[str, Estimate]] = []
    if pending and isinstance(task.pipeline, PlansUnits):
        costs = task.pipeline.plan(run, pending)
    elif pending:
        each = next(unit.cost for unit in [*pending, *units] if unit.cost is not None)()
        costs = [(unit.name, each) for unit in pending]
    workers = max(1, min(settings.executor.count(settings), len(costs)))
    seconds = [cost.seconds for _, cost in costs]
    return Plan(
        path=run.path,
        units=len(units) - len(pending) + len(costs),
        done=len(units) - len(pending),
        seconds=max(
            [
                sum(seconds) / workers,
                -(-len(costs) // workers) * min(seconds, default=0.0),
                *seconds,
            ],
            default=0.0,
        ),
        memory=workers * max((cost.memory for _, cost in costs), default=0.0),
        disk=sum(cost.disk for _, cost in costs),
        workers=workers,
        costs=[(name, cost.seconds) for name, cost in costs],
        checks=checks,
        not_counted=task.pipeline.not_counted if isinstance(task.pipeline, LeavesOut) else "",
    )


def self_checks(pipeline: Pipeline) -> list[str]:
    """What the self-check of each landscape found, a line each; UserError where one is no function
    of its parameters alone."""
    from sgdtheory.landscapes.formula_check import formula_check
    from sgdtheory.roles.asking import has
    from sgdtheory.roles.facts import self_check_of

    several = getattr(pipeline, "landscapes", {})
    landscapes = [getattr(pipeline, "landscape", None), *several.values()]
    dtype = getattr(pipeline, "dtype", "float32")
    said = []
    for landscape in landscapes:
        line = self_check_of(landscape, dtype)
        if line is not None:
            said.append(line)
        elif has(landscape, "losses"):  # a study's subject may be a recipe
            formula_check(landscape)
    return said
