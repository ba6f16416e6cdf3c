"""The claims of a sweep on a network with batch norm: the equilibrium of |θ|², and that η/b alone
does not determine SGD."""

from collections.abc import Sequence
from math import isclose

from sgdtheory.statistics.measured import Claim, Measured
from sgdtheory.statistics.rows import Row
from sgdtheory.statistics.tolerance import all_near

CLOSE = 0.05
Cells = Sequence[Row]


def norm_claims(cells: Cells) -> list[Claim]:
    """Claims about the stationary cells whose scale-invariant parameters were followed; none
    without such parameters."""
    laws = [
        ("norm_equilibrium", "1", "|θ|⁴ is η⟨|g̃|²⟩/2λ", "|θ|⁴/(η⟨|g̃|²⟩/2λ(1−μ)), 1 within 5 %"),
        (
            "angular_update",
            "angular_update_predicted",
            "a step turns the weights by √(2ηλ/(1+μ))",
            "2ηλ/(1+μ) within 5 %",
        ),
    ]
    claims = [_law(cells, *law) for law in laws]
    return [*(claim for claim in claims if claim is not None), *_paces(cells)]


def _law(
    cells: Cells,
    name: str,
    theory: str,
    words: str,
    expected: str,
) -> Claim | None:
    """The cell that is farthest from a law, in units of what it says."""
    rows = []
    for cell in cells:
        value = _value(cell, name)
        law = 1.0 if theory == "1" else _value(cell, theory)
        if cell["stationary"] and value is not None and law:
            stderr = cell["temperature"][name]["stderr"] or 0.0
            rows.append(Measured(value / law, stderr / law))
    if not rows:
        return None
    judged = all_near(rows, 1, CLOSE, "raise replicas")
    worst = rows[judged.at]
    told = f"{words}: {worst} of that in the worst of {len(rows)} cells"
    return Claim(name, told, worst._replace(why=judged.why), expected, judged.holds)


def _paces(cells: Cells) -> list[Claim]:
    """Two stationary cells of equal η/b that move at different effective rates."""
    known = [
        cell
        for cell in cells
        if cell["stationary"] and _value(cell, "norm_equilibrium") is not None
    ]
    pairs = []
    for i, one in enumerate(known):
        for other in known[:i]:
            is_as_hot = isclose(one["predicted"], other["predicted"])
            if is_as_hot and one["learning_rate"] != other["learning_rate"]:
                pairs.append((one, other))
    if not pairs:
        return []
    fast, slow = max(pairs, key=lambda pair: pair[0]["learning_rate"] / pair[1]["learning_rate"])
    if fast["learning_rate"] < slow["learning_rate"]:
        fast, slow = slow, fast
    rates = [_value(cell, "effective_rate") or 0.0 for cell in (fast, slow)]
    named = [f"η = {cell['learning_rate']:g}, b = {cell['batch_size']}" for cell in (fast, slow)]
    words = (
        f"equal η/b is not equal SGD: η/|θ|² is {rates[0]:.2g} at {named[0]} and "
        f"{rates[1]:.2g} at {named[1]}; "
        "the rate on the sphere follows ηλ"
    )
    return [Claim("pace", words, Measured(rates[0] / rates[1]), "1 if η/b told all", None)]


def _value(cell: Row, name: str) -> float | None:
    value: float | None = cell["temperature"].get(name, {}).get("value")
    return value
