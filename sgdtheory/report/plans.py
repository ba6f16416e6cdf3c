"""What a command would do, for --dry-run."""

from typing import TYPE_CHECKING

from sgdtheory.report.stdio import tell
from sgdtheory.report.terminal import print_prose
from sgdtheory.statistics.numbers import duration, size

if TYPE_CHECKING:
    from sgdtheory.runs.task import Plan

MOST_NAMED = 8  # units


def show_plan(plan: "Plan") -> None:
    """What a task would do, and what it would cost."""
    pending = plan.units - plan.done
    units = _counted(plan.units, "unit")
    if not pending:
        tell(f"{units}: all done already")
    else:
        workers = _counted(plan.workers, "worker")
        each = f"{plan.each:.1f} s" if plan.each < 10 else duration(plan.each)
        cost = f"{duration(plan.seconds)}, {size(plan.memory)} of memory, {size(plan.disk)} on disk"
        tell(f"{units}: {pending} to do × {each} on {workers} = {cost}")
        names = ", ".join(plan.names[:MOST_NAMED])
        left_out = pending - MOST_NAMED
        more = f", … {left_out} more" if left_out > 0 else ""
        print_prose([f"to do: {names}{more}"])
    print_prose([f"self-check: {check}" for check in plan.checks])
    tell(f"in {plan.path}")
    tell("nothing was done")


def _counted(count: int, what: str) -> str:
    """1 unit, 2 units"""
    return f"{count} {what}{'s' if count != 1 else ''}"
