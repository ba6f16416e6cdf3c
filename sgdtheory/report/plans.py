"""What a command would do, for --dry-run."""

from statistics import fmean
from typing import TYPE_CHECKING

from sgdtheory.report.stdio import tell
from sgdtheory.report.terminal import print_prose
from sgdtheory.report.time_left import kind_of
from sgdtheory.statistics.numbers import duration, size

if TYPE_CHECKING:
    from sgdtheory.runs.task import Plan

MOST_NAMED = 8  # units of a kind


def show_plan(plan: "Plan") -> None:
    """What a task would do, and what it would cost."""
    pending = plan.units - plan.done
    units = _counted(plan.units, "unit")
    if not pending:
        tell(f"{units}: all done already")
    else:
        workers = _counted(plan.workers, "worker")
        memory, disk = size(plan.memory), size(plan.disk)
        cost = f"{duration(plan.seconds)}, {memory} of memory, {disk} on disk"
        tell(f"{units}: {pending} to do on {workers} = {cost}")
        print_prose([f"to do: {line}" for line in _by_kind(plan.costs)])
        if plan.not_counted:
            print_prose([f"not counted: {plan.not_counted}"])
    print_prose([f"self-check: {check}" for check in plan.checks])
    tell(f"in {plan.path}")
    tell("nothing was done")


def _by_kind(costs: list[tuple[str, float]]) -> list[str]:
    """The units of each kind, how many they are and what one takes, a line a kind."""
    kinds: dict[str, list[tuple[str, float]]] = {}
    for name, seconds in costs:
        of_kind = kinds.setdefault(kind_of(name), [])
        of_kind.append((name, seconds))
    lines = []
    for units in kinds.values():
        names = list(dict.fromkeys(name for name, _ in units))
        named = ", ".join(names[:MOST_NAMED])
        more = ", …" if len(names) > MOST_NAMED else ""
        each = fmean(seconds for _, seconds in units)
        takes = duration(each)
        if each < 10:
            takes = f"{each:.1f} s"
        lines.append(f"{len(units)} × {takes}: {named}{more}")
    return lines


def _counted(count: int, what: str) -> str:
    """1 unit, 2 units"""
    if count == 1:
        return f"1 {what}"
    return f"{count} {what}s"
