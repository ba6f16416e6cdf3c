"""A landscape that remembers its scores: a path, its straight line and other ways share points."""

from collections import OrderedDict
from hashlib import sha256
from typing import Any, TypeAlias

import torch
from torch import Tensor

from sgdtheory.protocol import Batch, Cloud, Landscape, value_and_grad
from sgdtheory.roles.examples import Score, Scored, Split, is_scored

MOST_BYTES = 1 << 28  # of the scores that are kept: of 50,000 examples some three hundred points
Key: TypeAlias = tuple[bytes, torch.dtype, Split]


class ScoredOnce:
    """The same landscape; a point that was scored on a split is not scored there again.

    Scores are known by all bits of their point. The newest `MOST_BYTES` of them are kept; a score
    that was dropped is asked for again, and has the same bits. Everything else is the landscape's
    own.
    """

    def __init__(self, landscape: Scored) -> None:
        self._landscape = landscape
        self._kept: OrderedDict[Key, Score] = OrderedDict()
        self._bytes = 0

    def __getattr__(self, name: str) -> Any:
        """All else is the landscape's own."""
        return getattr(self._landscape, name)

    @property
    def dim(self) -> int:
        return self._landscape.dim

    def init(self, points: int, stream: torch.Generator) -> Cloud:
        return self._landscape.init(points, stream)

    def losses(self, cloud: Cloud, batch: Batch | None = None) -> Tensor:
        return self._landscape.losses(cloud, batch)

    def losses_and_gradients(
        self, cloud: Cloud, batch: Batch | None = None, into: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return value_and_grad(self._landscape, cloud, batch, into)

    def score(self, cloud: Cloud, split: Split, *statistics: Any, **named: Any) -> Score:
        """Losses and errors [P, N] of a cloud [P, n]; with other `statistics` of batch norm than
        its own nothing is remembered."""
        if statistics or named:
            return self._landscape.score(cloud, split, *statistics, **named)
        scores = [self._score_of(theta, split) for theta in cloud]
        if len(scores) == 1:
            return scores[0]
        losses, errors = zip(*scores, strict=True)
        return Score(torch.cat(losses), torch.cat(errors))

    def _score_of(self, theta: Tensor, split: Split) -> Score:
        """Of one point θ [n], [1, N]."""
        key = _key(theta, split)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        score = self._landscape.score(theta[None], split)
        self._kept[key] = score
        self._bytes += _size(score)
        while self._bytes > MOST_BYTES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= _size(oldest)
        return score


def scored_once(landscape: Landscape) -> Landscape:
    """The landscape with a memory of its scores; itself where it has none, or has one already."""
    if isinstance(landscape, ScoredOnce) or not is_scored(landscape):
        return landscape
    return ScoredOnce(landscape)


def _key(theta: Tensor, split: Split) -> Key:
    values = theta.detach().cpu().contiguous()
    content = values.view(torch.uint8).numpy()
    digest = sha256(content.tobytes()).digest()
    return digest, theta.dtype, split


def _size(score: Score) -> int:
    return sum(x.numel() * x.element_size() for x in score)
