"""What is said of clouds that are released on paths."""

from collections.abc import Mapping, Sequence

from sgdtheory.statistics.measured import Claim, Measured, row_of
from sgdtheory.statistics.rows import Rows
from sgdtheory.statistics.tables import grouped, mean_over
from sgdtheory.statistics.trends import every, mean_above, sigmas

CERTAIN = 5.0  # standard errors that Tr H must be lower by (the project's table)
CLEAR = 3.0  # beyond which a drift counts as one
# times gradient descent's |∇L| at equal objective: a cloud with more still falls along steep
# directions, and its objective is not that of where it will rest
AT_REST = 1.5
MORE = "raise replicas or pairs"


def over_paths(rows: Rows, names: Sequence[str]) -> dict[str, Measured]:
    """Means over paths of the means over a path's points, for each of these columns."""
    unknown = "nothing was released"
    return {name: mean_over(rows, name, "pair", unknown) for name in names}


def mean_rests(rests: Rows) -> Rows:
    """One row for each batch size."""
    sides = ("trace", "objective", "data_loss", "norm", "gradient")
    names = ["lower", "lower_at_data_loss", *sides, *(f"descent_{name}" for name in sides)]
    means = []
    for size, rows in grouped(rests, "batch_size").items():
        facts = {"batch_size": size, "temperature": rows[0]["temperature"]}
        means.append(row_of(facts, **over_paths(rows, names)))
    return means


def mean_drifts(drifts: Rows) -> Rows:
    """One row for each batch size and look."""
    names = ["chord", "tangent", "growth", "beyond_growth", "way", "distance", "norm"]
    names += [f"{name}_descent" for name in ("chord", "tangent", "distance")]
    means = []
    for size, clouds in grouped(drifts, "batch_size").items():
        for time, rows in grouped(clouds, "time").items():
            facts = {"batch_size": size, "time": time}
            means.append(row_of(facts, **over_paths(rows, names)))
    return means


def curvature_rows(rests: Rows) -> Rows:
    """Tr H of each batch size's cloud at rest, and gradient descent's where it has the same
    objective, at each point of a path."""
    placed = []
    for row in rests:
        place = f"path {row['pair'] + 1}, {row['at']:.2f}"
        placed.append({**row, "place": place})
    curvatures = []
    for place, rows in grouped(placed, "place").items():
        for row in rows:
            size = f"b = {row['batch_size']}"
            for noise, name in ((f"descent to {size}", "descent_trace"), (size, "trace")):
                facts = {"place": place, "noise": noise}
                curvatures.append(row_of(facts, trace=Measured.read(row, name)))
    return curvatures


def claims_of(rests: Rows, drifts: Rows) -> list[Claim]:
    """Tr H is lower at equal loss; then how far the cloud moves along the chord and the path."""
    if not rests:
        unknown = Measured.nothing("no path was found")
        return [Claim("curvature", "nothing was released", unknown, "Tr H is lower", None)]
    means = mean_rests(rests)
    moved = mean_drifts(drifts)
    last = [rows[-1] for rows in grouped(moved, "batch_size").values()]
    # over pairs; of a single one the errors are those of its many replicas
    pairs = len(grouped(rests, "pair"))
    of = pairs if pairs > 1 else None
    return [
        _lower(means, of, "curvature", "lower", "objective"),
        _lower(means, of, "at_equal_data_loss", "lower_at_data_loss", "data loss"),
        _drift(last, of, "chord", "along the chord, in units of it"),
        _drift(last, of, "tangent", "along the path's tangent, in units of its length"),
        _growth(last, of),
        _ends(last, of),
    ]


def _by_size(rows: Rows, column: str) -> dict[int, Measured]:
    return {row["batch_size"]: Measured.read(row, column) for row in rows}


def _listed(by_size: dict[int, Measured]) -> str:
    return "; ".join(f"b = {size}: {number}" for size, number in by_size.items())


def _every_size(
    numbers: Mapping[int, Measured], by: float, pairs: int | None
) -> tuple[bool | None, Measured]:
    """Whether the number of every batch size is above 0 by so many standard errors; and the number
    of the least certain of those that decide it."""
    judged = [mean_above(number, 0.0, MORE, by, pairs) for number in numbers.values()]
    holds = every([verdict for verdict, _ in judged])
    deciding = [number for verdict, number in judged if verdict is holds]
    return holds, min(deciding, key=sigmas)


def _lower(
    means: Rows,
    pairs: int | None,
    name: str,
    column: str,
    loss: str,
) -> Claim:
    """The number is that of the least certain batch size."""
    gains = _by_size(means, column)
    told = (
        f"at rest and at equal {loss}, Tr H of SGD's cloud is lower than gradient descent's by "
        f"{_listed(gains)}"
    )
    holds, least = _every_size(gains, CERTAIN, pairs)
    claim = Claim(name, told, least, f"above 0 by {CERTAIN:g} standard errors", holds)
    moving = _still_falling(means)
    return claim.left_open(moving) if moving and least.value is not None else claim


def _still_falling(means: Rows) -> str:
    """Why clouds are not at rest, which the comparison is of; empty where all are."""
    for row in means:
        own, descent = row["gradient"], row["descent_gradient"]
        if own is not None and descent is not None and own > AT_REST * descent:
            return (
                f"the cloud of b = {row['batch_size']} is not at rest: |∇L| is {own:.2g}, "
                f"{descent:.2g} of gradient descent at that objective; raise quench.relax"
            )
    return ""


def _drift(last: Rows, pairs: int | None, name: str, along: str) -> Claim:
    """The number is that of the least certain batch size."""
    drifts = _by_size(last, name)
    descent = f"gradient descent's own, {Measured.read(last[0], f'{name}_descent')}, subtracted"
    told = f"drift towards the nearer end {along}, {descent}: {_listed(drifts)}"
    holds, least = _every_size(drifts, CLEAR, pairs)
    return Claim(name, told, least, f"above 0 by {CLEAR:g} standard errors", holds)


def _growth(last: Rows, pairs: int | None) -> Claim:
    """The part of the drift along the chord that is the growth of |θ|; the same replicas make
    both, so their difference has an error of its own."""
    hottest = min(last, key=lambda row: row["batch_size"])
    part = Measured.read(hottest, "growth")
    chord = Measured.read(hottest, "chord")
    beyond = Measured.read(hottest, "beyond_growth")
    told = (
        f"b = {hottest['batch_size']}: of the drift along the chord, {chord}, weights that grow "
        f"longer make {part}, and {beyond} is left; the cloud is {_short(hottest['distance'])} "
        f"away from where it began, with |θ| = {_short(hottest['norm'])}"
    )
    holds, beyond = mean_above(beyond, 0.0, MORE, samples=pairs)
    part = part._replace(why=part.why or beyond.why)
    return Claim("growth", told, part, "less than the drift", holds)


def _short(number: float | None) -> str:
    return "–" if number is None else f"{number:.3g}"


def _ends(last: Rows, pairs: int | None) -> Claim:
    """The fraction of the way to the nearer end that the cloud has moved."""
    ways = _by_size(last, "way")
    expected = "1: at an end"
    unknown = next((way for way in ways.values() if way.value is None), None)
    if unknown is not None:
        told = f"how far the clouds get cannot be said: {unknown.why}"
        return Claim("ends", told, unknown, expected, None)
    parts = []
    for size, way in ways.items():
        per_cent = 100 * (way.value or 0.0)
        parts.append(f"b = {size}: {per_cent:.1f} %")
    farthest = max(ways.values(), key=lambda way: way.value or 0.0)
    arrives, farthest = mean_above(farthest, 1.0, MORE, samples=pairs)
    verb = {True: "reaches", False: "does not reach", None: "may reach"}[arrives]
    told = (
        f"in ηt = {last[0]['time']:g} it {verb} the ends: of the way along the chord it makes "
        f"{'; '.join(parts)}"
    )
    return Claim("ends", told, farthest, expected, arrives)
