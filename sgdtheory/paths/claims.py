"""What a graph of minima says: whether they are connected, and when that cannot be said."""

from dataclasses import dataclass

from torch import Tensor

from sgdtheory.landscape import Landscape
from sgdtheory.optim.trained import untrained
from sgdtheory.paths.verdict import APART, is_flat
from sgdtheory.paths.ways import WORDS, words_of
from sgdtheory.roles.closed_forms import barrier_of, states_barrier, states_minima
from sgdtheory.roles.examples import is_scored
from sgdtheory.roles.facts import title_of
from sgdtheory.statistics.measured import Claim, Measured, Row, Rows

FLAT = "≤ two standard errors, or 0.5 % of the straight line's"
# of 1 + |θ|: how near a minimum of a formula is to the stated one that it is, which may be rounded
NEAR = 1e-3


@dataclass(frozen=True, eq=False)
class Findings:
    """The edges that are judged, between points [P, n] whose rows are `minima`: `wanted` of them,
    or fewer where some failed.

    `named`: whether these pairs were asked for by name; else they are a tree over all points.

    """

    landscape: Landscape
    nodes: Tensor
    minima: Rows
    edges: Rows
    ends: set[int]
    named: bool
    wanted: int

    def claims(self) -> list[Claim]:
        """The headline first."""
        if not self.edges:
            nothing = Measured.nothing(self.doubts or "no edge was finished")
            return [
                Claim("connected", f"no path between {self._what}", nothing, "a low path", None)
            ]
        if not is_scored(self.landscape):
            return [self._barrier()]
        return [self._connected(), self._test_error()]

    @property
    def doubts(self) -> str:
        """Why nothing can be said of paths between these points: the first that is no minimum, and
        how many more there are."""
        known = [
            (i, untrained(self.landscape, self.minima[i]["train_loss"]))
            for i in sorted(self.ends)
            if i < len(self.minima)
        ]
        found = [(i, why) for i, why in known if why]
        more = ""
        if len(found) > 1:
            more = f", and so for {len(found) - 1} more"
        if found:
            return f"minimum {found[0][0]} is not trained: {found[0][1]}{more}"
        return ""

    @property
    def _what(self) -> str:
        title = title_of(self.landscape)
        return f"{'points' if self.doubts else 'minima'} of {title}"

    @property
    def _joined(self) -> str:
        if not self.named:
            return f"{len(self.edges) + 1} {self._what}"
        if self.wanted > 1:
            return f"{self.wanted} pairs of {self._what}"
        return f"a pair of {self._what}"

    @property
    def _highest(self) -> tuple[Row, Row]:
        """The edge whose lowest way is highest, and that barrier."""
        row = max(self.edges, key=lambda row: row["lowest_way"]["barrier"]["value"])
        return row, row["lowest_way"]["barrier"]

    @property
    def _lines(self) -> list[float]:
        return [row["straight_barrier"]["value"] for row in self.edges if row["straight_barrier"]]

    def _connected(self) -> Claim:
        """The verdict, by the lowest way between each two."""
        row, found = self._highest
        barrier = Measured(found["value"], found["stderr"], "nats", self.doubts)
        top = f"highest barrier {barrier} by {words_of(row['lowest_way']['name'], row)}"
        beside = "".join(
            [self._straight(), self._training_error(), self._same_functions(), self._missing()]
        )
        if self.doubts:
            words = f"cannot be said: {self.doubts}; between {self._joined}: {top}{beside}"
            return Claim("connected", words, barrier, FLAT, None)
        joined = f"{self._joined} {'is' if self._joined.startswith('a pair') else 'are'}"
        if len(self.edges) < self.wanted or not all(map(is_flat, self.edges)):
            return Claim("connected", f"{joined} {APART}: {top}{beside}", barrier, FLAT, False)
        words = f"{joined} connected by {self._ways()}: highest barrier {barrier}{beside}"
        return Claim("connected", words, barrier, FLAT, True)

    def _ways(self) -> str:
        """The ways by which the edges are flat, the simplest first."""
        ways = [
            words_of(name, row)
            for name in WORDS
            for row in self.edges
            if row["lowest_way"]["name"] == name
        ]
        return " or ".join(dict.fromkeys(ways))

    def _straight(self) -> str:
        lines = self._lines
        if not lines:
            return ""
        return (
            f", straight lines {min(lines):.2g}{f' to {max(lines):.2g}' if len(lines) > 1 else ''}"
        )

    def _training_error(self) -> str:
        worst = max(
            self.minima[end]["train_error"] or 0.0 for row in self.edges for end in row["pair"]
        )
        if worst:
            return f", training error of the ends up to {100 * worst:.3g} %"
        return ""

    def _same_functions(self) -> str:
        same = [
            row["pair"] for row in self.edges if (row.get("aligned") or {}).get("same_function")
        ]
        return "".join(
            f"; {i} and {j} are the same function up to a renumbering of hidden units"
            for i, j in same
        )

    def _missing(self) -> str:
        left = self.wanted - len(self.edges)
        if left > 0:
            return f"; {left} of {self.wanted} edges {'was' if left == 1 else 'were'} not finished"
        return ""

    def _test_error(self) -> Claim:
        """How much worse a network at the top of the lowest way is on the test set than the worse
        end."""
        rises = []
        for row in self.edges:
            name = row["lowest_way"]["name"]
            along = row["curves"][name]["test_error"]
            rises.append(row[name]["test_error"] - max(along[0], along[-1]))
        rise = max(rises)
        told = (
            f"test error at the saddles is {100 * rise:+.2f} percentage points over the "
            f"worse end, at most"
        )
        return Claim(
            "test_error",
            told,
            Measured(rise, why=self.doubts),
            "≤ 0.01",
            None if self.doubts else rise <= 0.01,
        )

    def _barrier(self) -> Claim:
        """A formula's highest barrier; over one end, against the one it states, where that is
        between these two."""
        row, found = self._highest
        barrier = found["value"]
        ends = [row["curves"]["path"]["train_loss"][i] for i in (0, -1)]
        over = [barrier + max(ends) - end for end in ends]
        first = None
        if len(self.edges) == 1:
            first = self._stated_first(row["pair"])
        uneven = (
            f" over the higher end, {over[first or 0]:.6g} over the "
            f"{'second' if first else 'first'}"
        )
        words = (
            f"{self._joined}: highest barrier "
            f"{barrier:.6g}{uneven if abs(over[0] - over[1]) > 1e-6 * barrier else ''}"
        )
        words += f" by {words_of(row['lowest_way']['name'], row)}"
        words += f", of the straight lines {max(self._lines):.6g}" if self._lines else ""
        words += self._missing()
        if self.doubts:
            words = f"cannot be said: {self.doubts}; {words}"
            return Claim(
                "barrier", words, Measured(barrier, why=self.doubts), "no stated value", None
            )
        if first is None:
            nothing = Measured(barrier, why="no barrier is stated between these")
            return Claim("barrier", words, nothing, "no stated value", None)
        stated = barrier_of(self.landscape)
        held = abs(over[first] - stated) <= 0.003 * stated + 1e-4
        return Claim("barrier", words, Measured(over[first]), f"{stated:.6g} ± 0.3 %", held)

    def _stated_first(self, pair: list[int]) -> int | None:
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
        room = NEAR * (1 + float(stated.norm(dim=1).max()))
        near = [float((ends[[k, 1 - k]] - stated).norm(dim=1).max()) <= room for k in (0, 1)]
        if any(near):
            return near.index(True)
        return None
