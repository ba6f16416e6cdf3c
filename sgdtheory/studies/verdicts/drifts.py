"""Where what is set free on a path goes to: means over paths, and what they say."""

from collections.abc import Sequence
from math import hypot
from typing import Any

from sgdtheory.measured import Claim, Measured, Plot
from sgdtheory.studies.study import higher, row_of

CERTAIN = 5.0  # standard errors that Tr H must be lower by (the project's table)
CLEAR = 3.0  # beyond which a drift counts as one

Rows = Sequence[dict[str, Any]]


def over_paths(rows: Rows, name: str) -> Measured:
    """The mean over paths of the mean over a path's points, with the standard error over paths: it holds that over replicas.
    Of a single path the error is that over its replicas."""
    known = [row for row in rows if row[name] is not None]
    if len(known) < len(rows) or not known:
        why = next((row[f"{name}_why"] for row in rows if row[name] is None), "nothing was released")
        return Measured.nothing(why)
    paths = {row["pair"]: [other for other in known if other["pair"] == row["pair"]] for row in known}
    means = [sum(row[name] for row in own) / len(own) for own in paths.values()]
    if len(means) > 1:
        return Measured.mean(means)
    return Measured(means[0], hypot(*(row.get(f"{name}_stderr") or 0.0 for row in known)) / len(known))


def mean_rests(rests: Rows) -> list[dict[str, Any]]:
    """One row a batch size."""
    columns = ("lower", "lower_at_data_loss", "trace", "objective", "data_loss", "norm")
    facts = ("descent_trace", "descent_objective", "descent_data_loss", "descent_norm")
    return [
        row_of({"batch_size": size, "temperature": rows[0]["temperature"]}, **{x: over_paths(rows, x) for x in columns + facts})
        for size, rows in _by(rests, "batch_size").items()
    ]


def mean_drifts(drifts: Rows) -> list[dict[str, Any]]:
    """One row a batch size and look."""
    columns = ("chord", "tangent", "growth", "way", "distance", "norm", "chord_descent", "tangent_descent", "distance_descent")
    return [
        row_of({"batch_size": size, "time": time}, **{x: over_paths(rows, x) for x in columns})
        for size, own in _by(drifts, "batch_size").items()
        for time, rows in _by(own, "time").items()
    ]


def curvature_rows(rests: Rows) -> list[dict[str, Any]]:
    """Tr H of gradient descent and of each batch size's cloud at rest, a row a point of a path: for the picture."""
    found = []
    for place, rows in _by([{**row, "place": f"path {row['pair'] + 1}, {row['at']:.2f}"} for row in rests], "place").items():
        descent = {"trace": rows[0]["descent_trace"], "trace_stderr": rows[0]["descent_trace_stderr"]}
        found.append({"place": place, "noise": "gradient descent", **descent})
        for row in rows:
            own = {"trace": row["trace"], "trace_stderr": row.get("trace_stderr")}
            found.append({"place": place, "noise": f"b = {row['batch_size']}", **own})
    return found


def _by(rows: Rows, name: str) -> dict[Any, list[dict[str, Any]]]:
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row[name], []).append(row)
    return groups


def claims(rests: Rows, drifts: Rows) -> list[Claim]:
    """That the ground is flatter at equal loss; then where the cloud goes, along the chord, along the path, and how far."""
    if not rests:
        return [Claim("curvature", "nothing was released", Measured.nothing("no path was found"), "Tr H is lower", None)]
    means, moved = mean_rests(rests), mean_drifts(drifts)
    last = [rows[-1] for rows in _by(moved, "batch_size").values()]
    return [
        _lower(means, "curvature", "lower", "objective"),
        _lower(means, "at_equal_data_loss", "lower_at_data_loss", "data loss"),
        _drift(last, "chord", "along the chord, in units of it"),
        _drift(last, "tangent", "along the path's tangent, in units of its length"),
        _growth(last),
        _ends(last),
    ]


def _lower(means: Rows, name: str, column: str, loss: str) -> Claim:
    """The headline number is that of the batch size that is least certain."""
    each = {
        row["batch_size"]: Measured(row[column], row.get(f"{column}_stderr"), "", row.get(f"{column}_why", "")) for row in means
    }
    known = [found for found in each.values() if found.value is not None]
    words = "; ".join(f"b = {size}: {found}" for size, found in each.items())
    told = f"at rest and at equal {loss}, Tr H of SGD's cloud is lower than gradient descent's by {words}"
    expected = f"above 0 by {CERTAIN:g} standard errors"
    if not known:
        return Claim(name, told, Measured.nothing("; ".join(found.why for found in each.values())), expected, None)
    least = min(known, key=_certainty)
    return Claim(name, told, least, expected, _certainty(least) > CERTAIN)


def _drift(last: Rows, name: str, along: str) -> Claim:
    """The number is that of the batch size that is least certain."""
    each = {row["batch_size"]: Measured(row[name], row.get(f"{name}_stderr")) for row in last}
    words = "; ".join(f"b = {size}: {found}" for size, found in each.items())
    descent = (
        f"gradient descent's own, {Measured(last[0][f'{name}_descent'], last[0].get(f'{name}_descent_stderr'))}, subtracted"
    )
    told = f"drift towards the nearer end {along}, {descent}: {words}"
    least = min(each.values(), key=_certainty)
    return Claim(name, told, least, f"above 0 by {CLEAR:g} standard errors", _certainty(least) > CLEAR)


def _growth(last: Rows) -> Claim:
    """How much of the drift along the chord is the growth of |θ|."""
    hottest = min(last, key=lambda row: row["batch_size"])
    part, chord = (Measured(hottest[name], hottest.get(f"{name}_stderr")) for name in ("growth", "chord"))
    told = (
        f"b = {hottest['batch_size']}: of the drift along the chord, {chord}, weights that grow longer make {part}; "
        f"the cloud is {hottest['distance']:.3g} away from where it began, with |θ| = {hottest['norm']:.3g}"
    )
    return Claim("growth", told, part, "less than the drift", higher(chord, part))


def _ends(last: Rows) -> Claim:
    """How much of the way to the nearer end is made."""
    each = {row["batch_size"]: Measured(row["way"], row.get("way_stderr")) for row in last}
    words = "; ".join(f"b = {size}: {100 * (found.value or 0.0):.1f} %" for size, found in each.items())
    time = last[0]["time"]
    farthest = max(each.values(), key=lambda found: found.value or 0.0)
    there = None if farthest.value is None else farthest.value >= 1
    told = (
        f"in ηt = {time:g} it {'reaches' if there else 'does not reach'} the ends: of the way along the chord it makes {words}"
    )
    return Claim("ends", told, farthest, "1: at an end", there)


def _certainty(found: Measured) -> float:
    if found.value is None or not found.stderr:
        return 0.0
    return found.value / found.stderr


def plots() -> list[Plot]:
    return [
        Plot(
            "released",
            "At rest the ground that noise has found is flatter",
            "Tr H of points released on paths, after gradient descent and after SGD of two batch sizes, let down by full-batch "
            "descent until the objective is that of gradient descent. Bars: one standard error over replicas. A cloud of "
            "small batches is at rest with longer weights; part of what it gains is that.",
            "curvature", "noise", ("trace",), by="place", labels={"noise": "released to", "trace": "Tr H"},
        ),
        Plot(
            "drift",
            "Noise drives a cloud outwards along the chord, hardly along the path",
            "Mean displacement towards the nearer end, gradient descent's subtracted, against time; means over paths with "
            "their standard errors. Left along the straight line between the ends, right along the path's tangent at the "
            "point of release. The cloud leaves the path more than it slides along it, and does not reach the ends in this "
            "time.",
            "drift", "time", ("chord", "tangent"), by="batch_size", level=0.0,
            labels={"time": "ηt", "chord": "along the chord", "tangent": "along the tangent", "batch_size": "b ="},
        ),
    ]  # fmt: skip
