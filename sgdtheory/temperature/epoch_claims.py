"""The claim of a sweep whose batches come in epochs: T is what reshuffling leaves of the law's."""

from collections.abc import Sequence
from math import hypot, inf

from sgdtheory.statistics.measured import Claim, Measured
from sgdtheory.statistics.rows import Row
from sgdtheory.statistics.tolerance import all_near

NEAR = 0.1  # of T to what is predicted, relative
EXPECTED = f"T within {100 * NEAR:g} % of T_law·Σ r_i·C_ii/Tr C, r_i what an epoch leaves of a mode"


def epoch_claim(cells: Sequence[Row]) -> Claim:
    """With reshuffling T is Σ r_i·C_ii/Tr C of the law's, in every stationary cell where noise that
    is not the minimum's, of which an epoch leaves more, makes no more of T than the tolerance."""
    known = [cell for cell in cells if cell["stationary"] and _excess(cell).value is not None]
    additive = [cell for cell in known if _not_additive(cell) <= NEAR]
    if not additive:
        why = "no cell is stationary"
        if known:
            why = "the noise of every cell is not that at the minimum: lower the learning rates"
        unknown = Measured.nothing(why)
        return Claim("epoch", "how cold reshuffled noise is", unknown, EXPECTED, None)
    ratios = [_ratio(cell) for cell in additive]
    judged = all_near(ratios, 1, NEAR, "raise replicas, or set precision lower")
    worst = ratios[judged.at]._replace(why=judged.why)
    coldest = min(additive, key=lambda cell: cell["predicted_epoch"] / cell["predicted"])
    measured = _excess(coldest).in_units_of(coldest["predicted"])
    predicted = coldest["predicted_epoch"] / coldest["predicted"]
    words = (
        f"reshuffled noise is colder: T/T_law down to {measured} (predicted {predicted:.3g}), T at "
        f"worst {worst} of what is predicted, over {len(additive)} of {len(cells)} cells"
    )
    return Claim("epoch", words, worst, EXPECTED, judged.holds)


def _excess(cell: Row) -> Measured:
    """T from the excess loss."""
    found = cell["temperature"].get("excess_loss")
    if found is None:
        return Measured.nothing("excess_loss is not among the estimators")
    return Measured.from_json(found)


def _ratio(cell: Row) -> Measured:
    """T over what is predicted, its error that of the prediction too."""
    ratio = _excess(cell).in_units_of(cell["predicted_epoch"])
    return ratio._replace(stderr=hypot(ratio.stderr or 0.0, _not_additive(cell)))


def _not_additive(cell: Row) -> float:
    """What noise that the minimum does not have may make of T, over what is predicted: at most what
    it makes of the law's, for the batches of an epoch do not cancel it."""
    at_minimum = cell["noise_trace_at_minimum"]
    if not at_minimum or not cell["predicted_epoch"]:
        return inf
    excess = abs(cell["noise_trace"] / at_minimum - 1)
    return float(excess * cell["predicted"] / cell["predicted_epoch"])
