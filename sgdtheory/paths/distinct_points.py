"""Which of several points are one and the same."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.paths.graph import Pair, Pairs
from sgdtheory.paths.next_pairs import next_pairs
from sgdtheory.protocol import Cloud

SAME = 1e-6  # of 1 + |θ|: points of a formula that are nearer are one, found twice and polished


@dataclass(frozen=True, eq=False)
class DistinctPoints:
    """Points [P, n] as they were given; those nearer than `room` of 1 + |θ| are one."""

    points: Cloud
    room: float = 0.0

    @cached_property
    def firsts(self) -> list[int]:
        """Of each point the first that is the same."""
        firsts: list[int] = []
        for i, theta in enumerate(self.points):
            near = self.room * (1 + float(theta.norm()))
            first = i
            for j in dict.fromkeys(firsts):
                distance = float((theta - self.points[j]).norm())
                if distance <= near:
                    first = j
                    break
            firsts.append(first)
        return firsts

    @cached_property
    def kept(self) -> list[int]:
        """The points that are kept: the first of each."""
        return list(dict.fromkeys(self.firsts))

    @cached_property
    def nodes(self) -> Tensor:
        """The points [M, n] of which no two are the same; they are numbered in this order."""
        return self.points[self.kept]

    @property
    def repeated(self) -> list[tuple[int, int]]:
        """Points that are there again, each with the first that is the same."""
        return [(i, first) for i, first in enumerate(self.firsts) if i != first]

    def demand_pairs(self, asked: Pairs) -> None:
        """Raise UserError where there are no two points to join, or a pair that was asked for is
        not there."""
        if not asked:
            raise UserError(
                "pairs=[]: an empty list names no pair; give pairs such as [[0,1]], tree or all"
            )
        given = len(self.points)
        count = len(self.kept)
        if given > 1 and count < 2:
            raise UserError(
                f"minima: all {given} are one and the same point, and a path has two ends; "
                f"give another minimum"
            )
        if count < 2:
            raise UserError(
                f"minima: a path has two ends, and there is {count} minimum; give at least two"
            )
        nodes = dict.fromkeys(range(given), 0.0)
        next_pairs(nodes, {}, pairs=asked)  # refuses strange pairs
        if isinstance(asked, str):
            return
        for first, second in asked:
            if self.firsts[first] == self.firsts[second]:
                raise UserError(
                    f"pairs: {first} and {second} are the same point; a path has two ends"
                )

    def pairs(self, asked: Pairs) -> list[Pair] | None:
        """The pairs that were named by the numbers of the points given, in those of `nodes`; None
        where none were."""
        if isinstance(asked, str):
            return None
        numbers = {first: number for number, first in enumerate(self.kept)}
        pairs = []
        for pair in asked:
            one, other = sorted(numbers[self.firsts[end]] for end in pair)
            pairs.append((one, other))
        return list(dict.fromkeys(pairs))
