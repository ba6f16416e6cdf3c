"""How the minima were found: mini-batch loss and learning rate against the step."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sgdtheory.report.figures.canvas import drawing_of
from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.style import COLOURS, PALE, TRAIN, log_axis, wants_log
from sgdtheory.statistics.rows import Row, Rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

MOST_NAMED = 8  # lines told apart by colour


def losses(run: RunData) -> Figure | None:
    """The mini-batch loss of every minimum against the step, above the learning rate."""
    rows = list(_curves(run.metrics))
    if not any(row["loss"] is not None for row in rows):
        return None
    unit = run.loss_unit
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    lines = list(dict.fromkeys((row["unit"], row["point"]) for row in rows))
    begins: dict[str, int] = {}  # the first step of every stage
    for row in rows:
        begins[row["stage"]] = min(row["step"], begins.get(row["stage"], row["step"]))

    def paint(canvas: "Canvas") -> None:
        above, below = canvas.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        for k, line in enumerate(lines):
            colour = COLOURS[k] if len(lines) <= MOST_NAMED else TRAIN
            for stage in stages:
                part = [
                    row
                    for row in rows
                    if (row["unit"], row["point"]) == line and row["stage"] == stage
                ]
                steps = [row["step"] for row in part]
                style = "-" if stage == stages[0] else (0, (4, 1.5))
                label = (
                    f"{'' if k else 'minimum '}{_short(line[0])}" if stage == stages[0] else None
                )
                heights = [float("nan") if row["loss"] is None else row["loss"] for row in part]
                thin = {
                    "color": colour,
                    "alpha": 1 if len(lines) <= MOST_NAMED else 0.4,
                    "linewidth": 1.1,
                }
                above.plot(steps, heights, linestyle=style, label=label, **thin)
                below.plot(
                    steps, [row["learning_rate"] for row in part], linestyle=style, color=PALE
                )
        if wants_log([row["loss"] for row in rows if row["loss"] is not None]):
            log_axis(above.yaxis)
        for stage in stages[1:]:
            for axes in (above, below):
                axes.axvline(begins[stage], color=PALE, linewidth=0.8, linestyle=":")
            above.annotate(
                f" {stage}",
                (begins[stage], 1),
                xycoords=("data", "axes fraction"),
                va="top",
                color=PALE,
            )
        if 1 < len(lines) <= MOST_NAMED:
            canvas.legend(loc="outside upper right", ncols=len(lines), columnspacing=1.2)
        above.set_ylabel(f"mini-batch loss{f' / {unit}' if unit else ''}")
        below.set(xlabel="step", ylabel="learning\nrate", ylim=(0, None))
        for axes in (above, below):
            axes.grid(axis="y")

    drawing = drawing_of("losses", 3.6, paint)
    return Figure(
        "losses", "On the way to the minima", _caption(stages, run.is_formula), drawing, rows
    )


def _caption(stages: list[str], formula: bool) -> str:
    also = (
        f" A dotted line is where {' and '.join(stages[1:])} begins (broken lines)."
        if stages[1:]
        else ""
    )
    noise = (
        "Mini-batches of a formula tilt it at random, so this loss may lie below its minimum."
        if formula
        else "This loss is noisy and, with batch norm or augmentation, not that of the "
        "trained network: the scores below are "
        "over all examples."
    )
    return (
        f"Each line is one minimum: the loss on its "
        f"mini-batches{'' if formula else ', L2 term included'}, averaged over the "
        f"steps between two records; below it the learning rate.{also} The lines should "
        f"fall, and level off as the learning "
        f"rate goes to its end; one that jumps up or breaks off has diverged. {noise}"
    )


def _curves(metrics: Rows) -> Iterator[Row]:
    """A row a point of a curve. Every stage counts its steps from 1: here one stage follows the
    other."""
    last: dict[str, dict[str, int]] = {}  # unit → stage → its last step
    for row in metrics:
        if "loss" in row and "step" in row:
            stages = last.setdefault(row["unit"], {})
            stage = row.get("stage", "train")
            stages[stage] = row["step"]
            before = sum(steps for name, steps in stages.items() if name != stage)
            for point, loss in enumerate(row["loss"]):
                found = {
                    "unit": row["unit"],
                    "point": point,
                    "stage": stage,
                    "step": before + row["step"],
                }
                yield {**found, "learning_rate": row.get("learning_rate"), "loss": loss}


def _short(unit: str) -> str:
    return unit.removeprefix("minimum-")
