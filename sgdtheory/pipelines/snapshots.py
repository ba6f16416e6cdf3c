"""Points of a trajectory of SGD: which are kept, and what is said of each where it stands."""

from collections.abc import Mapping

import torch

from sgdtheory.diagnostics.diagnostic import Diagnostic, columns_of, units_of
from sgdtheory.optim.sgd import SGD
from sgdtheory.protocol import Cloud, Landscape, TensorsByName, length_of, value_and_grad
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.statistics.measured import Plot
from sgdtheory.statistics.rows import Rows


def snapshot_steps(steps: int, count: int) -> tuple[int, ...]:
    """`count` different steps, equally spaced from 0 to the last; of one the last."""
    if count < 2:
        return (steps,) * count
    spacing = [i * steps / (count - 1) for i in range(count)]
    return tuple(dict.fromkeys(map(round, spacing)))


def along(
    folder: UnitFolder, landscape: Landscape, sgd: SGD, steps: tuple[int, ...], like: Cloud
) -> tuple[TensorsByName, dict[str, Rows]]:
    """The snapshots [S, n] of a unit that followed one point, with their steps, and a row of facts
    for each.

    `edge_of_stability` = 2(1+μ)/η: the curvature above which full-batch descent at this learning
    rate is unstable in a quadratic (Cohen et al. 2021, 2103.00065; with momentum their Section
    5.1), to be compared with `top_eigenvalue`.
    """
    if not steps:
        return {}, {}
    cloud = torch.cat([folder.snapshot(step) for step in steps])
    losses, gradients = value_and_grad(landscape, cloud.to(like.device))
    rows = []
    for step, theta, loss, gradient in zip(steps, cloud, losses, gradients, strict=True):
        last = max(0, step - 1)
        rate = sgd.rate * sgd.schedule(last, sgd.steps)
        edge = None
        if rate > 0:
            edge = 2 * (1 + sgd.momentum) / rate
        rows.append(
            {
                "step": step,
                "learning_rate": rate,
                "objective": float(loss),
                "gradient_norm": length_of(gradient),
                "parameter_norm": length_of(theta),
                "edge_of_stability": edge,
            }
        )
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


def pictures(rows: Rows) -> Rows:
    """The largest curvature along each trajectory beside its edge of stability, where `spectrum`
    has measured it."""
    if not any(row.get("top_eigenvalue") is not None for row in rows):
        return []
    plot = Plot(
        "edge_of_stability",
        "The largest curvature along SGD, beside the edge of stability",
        "Marks: the Hessian's largest eigenvalue at the snapshots of each trajectory. Lines: "
        "2(1+μ)/η at that step's learning "
        "rate, above which full-batch descent is unstable in a quadratic (2103.00065). "
        "Descent at a constant rate rises to its "
        "line and stays; the noise of mini-batches keeps SGD below, and a rate that is "
        "lowered leaves the line behind.",
        "snapshots",
        "step",
        ("top_eigenvalue",),
        by="minimum",
        log="y",
        theory=("edge_of_stability",),
        labels={"step": "step of SGD", "top_eigenvalue": "largest eigenvalue of the Hessian"},
    )
    return [plot.as_dict()]
