"""What is said of learning coefficients, and whether it holds."""

from sgdtheory.statistics.measured import Claim, Measured
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of, known
from sgdtheory.statistics.trends import higher, ratio

NEAR = 0.05  # of the closed form, or
SIGMAS = 3.0  # standard errors, whichever is more
SINGULAR = 0.9  # of d/2: a coefficient that is this low is a singular minimum's


def claims_of(found: Rows, steps: Rows, widths: Rows) -> list[Claim]:
    """Known coefficients, steps that are too large, and the network's by width."""
    claims = []
    if found:
        claims.append(_found(found))
    if steps:
        claims.append(_refused(steps))
    if widths:
        claims += [_singular(widths), _other_heat(widths)]
    return claims


def _is_near(row: Row) -> bool:
    apart = abs(row["coefficient"] - row["theory"])
    error = row.get("coefficient_stderr") or 0.0
    room = max(NEAR * row["theory"], SIGMAS * error)
    return bool(apart < room)


def _is_vague(row: Row) -> bool:
    """Whether an error is larger than what a coefficient is asked for to."""
    error = row.get("coefficient_stderr") or 0.0
    return bool(error > NEAR * row["theory"])


def _found(rows: Rows) -> Claim:
    expected = f"each within {100 * NEAR:g} % or {SIGMAS:g} standard errors"
    measured = known(rows, "coefficient")
    missing = [row for row in rows if row not in measured]
    if not measured:
        nothing = Measured.read(rows[0], "coefficient")
        return Claim("known", "no learning coefficient was found", nothing, expected, None)
    near = [row for row in measured if _is_near(row)]
    vague = [row["system"] for row in near if _is_vague(row)]
    worst = max(measured, key=lambda row: abs(row["ratio"] - 1))
    number = Measured.read(worst, "ratio")
    words = (
        f"{len(near)} of {len(measured)} learning coefficients are the closed form's, "
        f"{number} of it at worst ({worst['system']})"
    )
    if missing:
        systems = ", ".join(row["system"] for row in missing)
        words += f"; none for {systems}"
    if len(near) < len(measured):
        return Claim("known", words, number, expected, False)
    if vague:
        more = "raise chains or lower localisation"
        words += f"; errors of more than {100 * NEAR:g} % say nothing of {', '.join(vague)}: {more}"
    is_known = not vague and not missing
    return Claim("known", words, number, expected, is_known or None)


def _refused(steps: Rows) -> Claim:
    """Every number that is given is right, and the largest step gives none."""
    given = known(steps, "coefficient")
    wrong = [row for row in given if not _is_near(row)]
    rates = [row["rate"] for row in steps if row not in given]
    count = Measured(float(len(wrong)))
    expected = "0, and none at the largest step"
    if not rates:
        words = f"a number is given at every step size, {len(wrong)} of them wrong"
        if wrong:
            return Claim("steps", words, count, expected, False)
        # that the largest is refused is asked where it is too large
        words += ": none is too large to be right; raise learning_rates"
        return Claim("steps", words, count, expected, None)
    largest = max(steps, key=lambda row: row["rate"])
    is_refused = largest not in given
    why = ""
    if is_refused:
        why = largest["coefficient_why"]
    words = (
        f"of {len(given)} numbers at {len(steps)} step sizes {len(wrong)} are wrong; refused from "
        f"η = {min(rates):g} on: {why}"
    )
    return Claim("steps", words, count, expected, not wrong and is_refused)


def _singular(widths: Rows) -> Claim:
    """The widest network's coefficient beside half its parameters."""
    last = max(widths, key=lambda row: row["width"])
    number = Measured.read(last, "ratio")
    expected = f"below {SINGULAR:g}"
    network = f"the network of {last['width']} hidden units"
    if number.value is None:
        words = f"{network}, d = {last['parameters']:,}, has no λ: {number.why}"
        return Claim("singular", words, number, expected, None)
    told = f"{network} has λ = {number} of d/2"
    coefficient = Measured.read(last, "coefficient")
    words = f"{told}, {coefficient} where d/2 = {last['theory']:g}: its minimum is singular"
    bar = Measured(SINGULAR)
    holds: bool | None = higher(bar, number)
    if not holds and not higher(number, bar):
        holds = None
    return Claim("singular", words, number, expected, holds)


def _other_heat(widths: Rows) -> Claim:
    """SGD's heat capacity in units of Langevin's, in the spring."""
    shares = {}
    for row in widths:
        localised = Measured.read(row, "localised")
        noise = Measured(row["noise"])
        shares[row["width"]] = ratio(noise, localised, localised.why)
    told = "; ".join(f"{width} units: {share}" for width, share in shares.items())
    widest = max(column_of(widths, "width"))
    last = shares[widest]
    words = f"SGD's heat capacity ½Tr C over Langevin's in the spring: {told}"
    return Claim("heat", words, last, "", None)
