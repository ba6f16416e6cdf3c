"""What a graph of minima says: whether they are connected, and when that cannot be said."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from sgdtheory.optim.trained import untrained
from sgdtheory.paths.verdict import APART, is_flat, too_few_for
from sgdtheory.paths.ways import WORDS, words_of
from sgdtheory.protocol import Landscape
from sgdtheory.roles.closed_forms import barrier_of, states_barrier, states_minima
from sgdtheory.roles.examples import is_scored
from sgdtheory.roles.facts import error_of_loss, title_of, unit_of_loss
from sgdtheory.statistics.measured import Claim, Measured
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tolerance import all_near

FLAT = "≤ two standard errors, or 0.5 % of the straight line's"
# of 1 + |θ|: how near a minimum of a formula is to the stated one that it is, which may be rounded
NEAR = 1e-3
RISE = 0.01  # of the test error at a saddle over the worse end's


@dataclass(frozen=True, eq=False)
class Findings:
    """The edges that are judged, between points [P, n] whose rows are `minima`: `wanted` of them,
    or fewer where some failed.

    `named`: whether these pairs were asked for by name; else they are a tree over all points.
    `given`: the number that each point had where it was given, where points were given twice.

    """

    landscape: Landscape
    nodes: Tensor
    minima: Rows
    edges: Rows
    ends: set[int]
    named: bool
    wanted: int
    given: Sequence[int] = ()

    def _number(self, i: int) -> str:
        """Of a point, here and where it was given."""
        given = self.given[i] if self.given else i
        return str(i) if given == i else f"{i} (given as {given})"

    def claims(self) -> list[Claim]:
        """The headline first."""
        if not self.edges:
            unknown = Measured.nothing(self.doubts or "no edge was finished")
            words = f"no path between {self._what}"
            return [Claim("connected", words, unknown, "a low path", None)]
        if not is_scored(self.landscape):
            return [self._barrier()]
        for row in self.edges:
            way = row["lowest_way"]["name"]
            if row[way]["test_error"] is None:
                return [self._connected()]  # nobody knows what an error is
        return [self._connected(), self._test_error()]

    @property
    def doubts(self) -> str:
        """Why nothing can be said of paths between these points: the first that is no minimum, and
        how many more there are."""
        reasons: dict[int, str] = {}
        for i in sorted(self.ends):
            if i < len(self.minima):
                reasons[i] = untrained(self.landscape, self.minima[i]["train_loss"])
        doubtful = [i for i, why in reasons.items() if why]
        if not doubtful:
            return ""
        first, *others = doubtful
        more = ""
        if others:
            more = f", and so for {len(others)} more"
        return f"minimum {self._number(first)} is not trained: {reasons[first]}{more}"

    @property
    def _what(self) -> str:
        title = title_of(self.landscape)
        if self.doubts:
            return f"points of {title}"
        return f"minima of {title}"

    @property
    def _joined(self) -> str:
        if not self.named:
            return f"{len(self.edges) + 1} {self._what}"
        if self.wanted > 1:
            return f"{self.wanted} pairs of {self._what}"
        return f"a pair of {self._what}"

    @property
    def _highest(self) -> tuple[Row, Row]:
        """The edge whose lowest way is highest, and that barrier; among those that are not flat,
        where some are not."""
        judged = [row for row in self.edges if not is_flat(row)] or self.edges
        row = max(judged, key=lambda row: row["lowest_way"]["barrier"]["value"])
        return row, row["lowest_way"]["barrier"]

    @property
    def _lines(self) -> list[float]:
        lines = [row["straight_barrier"] for row in self.edges]
        return [line["value"] for line in lines if line]

    def _connected(self) -> Claim:
        """The verdict, by the lowest way between each two."""
        row, highest = self._highest
        unit = unit_of_loss(self.landscape)
        doubts = self.doubts
        joined = self._joined
        barrier = Measured(highest["value"], highest["stderr"], unit, doubts)
        way = words_of(row["lowest_way"]["name"], row)
        top = f"highest barrier {barrier} by {way}"
        beside = self._straight() + self._training_error() + self._same_functions()
        beside += self._missing()
        if doubts:
            words = f"cannot be said: {doubts}; between {joined}: {top}{beside}"
            return Claim("connected", words, barrier, FLAT, None)
        are = "is" if joined.startswith("a pair") else "are"
        if len(self.edges) < self.wanted or not all(map(is_flat, self.edges)):
            words = f"{joined} {are} {APART}: {top}{beside}"
            return Claim("connected", words, barrier, FLAT, False)
        for edge in self.edges:
            if why := too_few_for(edge, self.landscape):
                words = f"cannot be said whether {joined} {are} connected: {why}{beside}"
                return Claim("connected", words, barrier, FLAT, None)
        ways = self._ways()
        held = self._criterion(row)
        words = f"{joined} {are} connected by {ways}: highest barrier {barrier}{held}{beside}"
        return Claim("connected", words, barrier, FLAT, True)

    def _criterion(self, row: Row) -> str:
        """By which of the two a barrier counts as none."""
        barrier = row["lowest_way"]["barrier"]
        line = row["straight_barrier"]
        error = barrier["stderr"] or 0.0
        if barrier["value"] <= 2 * error or not line:
            return ", within two standard errors of none"
        share = 100 * barrier["value"] / line["value"]
        return f", {share:.2g} % of the straight line's {line['value']:.3g}"

    def _ways(self) -> str:
        """The ways by which the edges are flat, the simplest first."""
        ways = []
        for name in WORDS:
            for row in self.edges:
                if row["lowest_way"]["name"] == name:
                    ways.append(words_of(name, row))
        return " or ".join(dict.fromkeys(ways))

    def _straight(self) -> str:
        lines = self._lines
        if not lines:
            return ""
        lowest = min(lines)
        if len(lines) == 1:
            return f", straight lines {lowest:.2g}"
        return f", straight lines {lowest:.2g} to {max(lines):.2g}"

    def _training_error(self) -> str:
        worst = 0.0
        for row in self.edges:
            for end in row["pair"]:
                worst = max(worst, self.minima[end]["train_error"] or 0.0)
        if worst:
            error = error_of_loss(self.landscape)
            return f", training {error} of the ends up to {100 * worst:.3g} %"
        return ""

    def _same_functions(self) -> str:
        words = ""
        for row in self.edges:
            aligned = row.get("aligned") or {}
            if aligned.get("same_function"):
                i, j = row["pair"]
                one, other = self._number(i), self._number(j)
                words += (
                    f"; {one} and {other} are the same function up to a renumbering of hidden units"
                )
        return words

    def _missing(self) -> str:
        left = self.wanted - len(self.edges)
        if left <= 0:
            return ""
        were = "was" if left == 1 else "were"
        return f"; {left} of {self.wanted} edges {were} not finished"

    def _test_error(self) -> Claim:
        """How much worse a network at the top of the lowest way is on the test set than the worse
        end."""
        rises = [self._rise(row) for row in self.edges]
        highest = max(rises, key=lambda rise: rise.value or 0.0)
        assert highest.value is not None
        rise = highest.value
        over = highest._replace(value=abs(rise)).in_units_of(0.01)
        error = error_of_loss(self.landscape)
        words = (
            f"test {error} at the saddles is at most {over} percentage points over the worse end's"
        )
        if rise < 0:
            words = (
                f"test {error} at the saddles is {over} percentage points under the worse end's, "
                f"or more"
            )
        expected = "at most 1 percentage point"
        if self.doubts:
            return Claim("test_error", words, highest, expected, None).left_open(self.doubts)
        losses = [one._replace(value=max(0.0, one.value or 0.0)) for one in rises]
        judged = all_near(losses, 0, RISE, "score more test examples")
        measured = highest._replace(why=judged.why)
        return Claim("test_error", words, measured, expected, judged.holds)

    def _rise(self, row: Row) -> Measured:
        """Of the test error at the top of an edge over the worse end, on the same examples; no
        error where an earlier version scored it."""
        name = row["lowest_way"]["name"]
        top = row[name]
        first, *_, last = row["curves"][name]["test_error"]
        rise = top["test_error"] - max(first, last)
        return Measured(rise, top.get("test_error_rise_stderr"))

    def _barrier(self) -> Claim:
        """A formula's highest barrier; over one end, against the one it states, where that is
        between these two."""
        row, highest = self._highest
        barrier = highest["value"]
        first, *_, last = row["curves"]["path"]["train_loss"]
        top = barrier + max(first, last)
        over = (top - first, top - last)
        stated_end = None
        if len(self.edges) == 1:
            stated_end = self._stated_end(row["pair"])
        words = f"{self._joined}: highest barrier {barrier:.6g}"
        if abs(over[0] - over[1]) > 1e-6 * barrier:
            end = "second" if stated_end else "first"
            over_end = over[stated_end or 0]
            words += f" over the higher end, {over_end:.6g} over the {end}"
        way = words_of(row["lowest_way"]["name"], row)
        words += f" by {way}"
        if self._lines:
            words += f", of the straight lines {max(self._lines):.6g}"
        words += self._missing()
        if self.doubts:
            words = f"cannot be said: {self.doubts}; {words}"
            doubtful = Measured(barrier, why=self.doubts)
            return Claim("barrier", words, doubtful, "", None)
        if stated_end is None:
            unstated = Measured(barrier, why="no barrier is stated between these")
            return Claim("barrier", words, unstated, "", None)
        measured = over[stated_end]
        stated = barrier_of(self.landscape)
        holds = abs(measured - stated) <= 0.003 * stated + 1e-4
        return Claim("barrier", words, Measured(measured), f"{stated:.6g} ± 0.3 %", holds)

    def _stated_end(self, pair: list[int]) -> int | None:
        """Which end of a pair (0 or 1) the formula's stated barrier is over; None where it states
        none between these two.

        What is stated is the way from the first of its minima to the second.

        """
        if not states_barrier(self.landscape):
            return None
        if not states_minima(self.landscape):
            if len(self.nodes) == 2:
                return 0
            return None
        stated = self.landscape.minima()[:2].to(self.nodes)
        ends = self.nodes[list(pair)]
        size = float(stated.norm(dim=1).max())
        room = NEAR * (1 + size)
        for k in (0, 1):
            from_end = ends[[k, 1 - k]]  # the pair, this end first
            distances = (from_end - stated).norm(dim=1)
            if float(distances.max()) <= room:
                return k
        return None
