"""Points of a trajectory of SGD: which are kept, and what is said of each where it stands."""

from collections.abc import Mapping

import torch

from sgdtheory.diagnostics.columns import columns_of
from sgdtheory.diagnostics.diagnostic import Diagnostic, units_of
from sgdtheory.optim.adam import Adam
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.training_loop import snapshot_name
from sgdtheory.pipelines.slope import slope_at
from sgdtheory.protocol import Cloud, Landscape, TensorsByName, length_of
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.statistics.measured import Plot, row_of
from sgdtheory.statistics.rows import Rows


def snapshot_steps(steps: int, count: int) -> tuple[int, ...]:
    """`count` different steps, equally spaced from 0 to the last; of one the last."""
    if count < 2:
        return (steps,) * count
    spacing = [i * steps / (count - 1) for i in range(count)]
    return tuple(dict.fromkeys(map(round, spacing)))


def along(
    folder: UnitFolder, landscape: Landscape, sgd: SGD, count: int, like: Cloud
) -> tuple[TensorsByName, dict[str, Rows]]:
    """The `count` snapshots [S, n] of a unit that followed one point, with their steps, and a row
    of facts for each.

    `edge_of_stability`: the curvature above which full-batch steps at this learning rate grow on a
    quadratic (`SGD.edge`: 2(1+μ)/η, and SAM's), to be compared with `top_eigenvalue`. Adam's is
    that of the preconditioned Hessian, and has a column of its own. Objectives and gradients are
    those of minima (`slope_at`).
    """
    steps = snapshot_steps(sgd.length, count)
    if not steps:
        return {}, {}
    cloud = torch.cat([folder.snapshot(snapshot_name(sgd, step)) for step in steps])
    rows = []
    for step, theta in zip(steps, cloud.to(like.device), strict=True):
        last = max(0, step - 1)
        rate = sgd.rate * sgd.schedule(last, sgd.length)
        slope = slope_at(landscape, theta)
        facts = {
            "step": step,
            "learning_rate": rate,
            **slope,
            "parameter_norm": length_of(theta),
        }
        edges = {"edge_of_stability": sgd.edge(rate, slope["gradient_norm"] or 0.0)}
        if isinstance(sgd, Adam):
            edges["preconditioned_edge"] = sgd.preconditioned_edge(rate)
        rows.append(row_of(facts, **edges))
    return {"snapshots": cloud, "steps": torch.tensor(steps)}, {"snapshots": rows}


def units_along(
    diagnostics: Mapping[str, Diagnostic], landscape: Landscape, minima: list[Unit], run: Run
) -> list[Unit]:
    """The diagnostics of the snapshots, trajectory by trajectory; none where none were kept."""
    units = []
    for minimum in minima:
        result = run.result(minimum) or {}
        if result.get("snapshots"):
            units += units_of(diagnostics, landscape, [minimum], run, "snapshots")
    return units


def snapshots_of(
    diagnostics: Mapping[str, Diagnostic], landscape: Landscape, minima: list[Unit], run: Run
) -> tuple[Rows, dict[str, TensorsByName]]:
    """A row a snapshot with its diagnostics, and by file name the clouds of the
    trajectories, [snapshots, n], with their steps [snapshots]."""
    rows = []
    clouds = {}
    for i, unit in enumerate(minima):
        result = run.result(unit) or {}
        snapshots = result.get("snapshots", [])
        measured = units_of(diagnostics, landscape, [unit], run, "snapshots")
        columns = columns_of(measured, run, len(snapshots))
        for row, more in zip(snapshots, columns, strict=True):
            rows.append({"minimum": i, **row, **more})
        if snapshots:
            kept = run.folder(unit).clouds()
            trajectory = {"snapshots": kept["snapshots"], "steps": kept["steps"]}
            clouds[f"snapshots/{i}.safetensors"] = trajectory
    return rows, clouds


CURVATURES = {
    "top_eigenvalue": "largest eigenvalue of the Hessian",
    "batch_sharpness": "batch sharpness",
    "critical_sharpness": "critical sharpness",
}


def _is_measured(name: str, rows: Rows) -> bool:
    return any(row.get(name) is not None for row in rows)


def pictures(rows: Rows) -> Rows:
    """The curvatures along each trajectory that `spectrum` and `edge` have measured, beside its
    edge of stability."""
    measured = [name for name in CURVATURES if _is_measured(name, rows)]
    if not measured:
        return []
    plot = Plot(
        "edge_of_stability",
        "Curvature along SGD, beside the edge of stability",
        "Marks: at the snapshots of each trajectory the Hessian's largest eigenvalue, the "
        "curvature of mini-batches along their own gradients (batch sharpness), and that at which "
        "a full step along the gradient would raise the loss (critical sharpness), as far as they "
        "were asked for. Lines: the edge of stability at that step's learning rate, 2(1+μ)/η, "
        "above which full-batch descent is unstable in a quadratic (2103.00065). Descent at a "
        "constant rate rises to its line and stays; the noise of mini-batches keeps the "
        "eigenvalue below, and a rate that is lowered leaves the line behind.",
        "snapshots",
        "step",
        tuple(measured),
        by="minimum",
        log="y",
        theory=("edge_of_stability",) * len(measured),
        labels={"step": "step of SGD", **CURVATURES},
    )
    return [plot.as_dict()]
