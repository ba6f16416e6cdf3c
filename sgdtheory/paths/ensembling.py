"""What a path is good for once it is found: an ensemble, an average, and what two networks get
wrong alike."""

from collections.abc import Callable

import torch
from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.paths.path import Path
from sgdtheory.paths.profile import Profile
from sgdtheory.protocol import Landscape
from sgdtheory.roles.examples import NetworkLandscape, network_of
from sgdtheory.runs.extra import extra
from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.rows import Row


def ensembling(landscape: Landscape, path: Path, along: Profile, members: int = 5) -> Row:
    """Test error of an ensemble of points of the path, of the average of the ends, and how alike
    the ends' mistakes are.

    Each for itself: what a module cannot give is null, with the reason.

    """
    attempts: dict[str, Callable[[], Row]] = {
        "ensemble": lambda: _ensemble(network_of(landscape), path, members),
        "average": lambda: _average(network_of(landscape), path),
        "shared_mistakes": lambda: _shared_mistakes(along),
        "interpolated_statistics": lambda: _interpolated(network_of(landscape), path, members),
    }
    row: Row = {}
    for name, attempt in attempts.items():
        row |= extra([name], attempt)
    return row


def _ensemble(landscape: NetworkLandscape, path: Path, members: int) -> Row:
    t = torch.linspace(0, 1, members, dtype=torch.float64)
    predictions = [_predictions(landscape, theta) for theta in path.at(t)]
    votes = torch.stack(predictions).mean(0)
    _, targets = landscape.examples("test")
    errors = landscape.loss.errors(votes, targets)
    error = Measured.mean(errors.cpu())
    return {"ensemble": {"points": members, **error.columns("test_error")}}


def _average(landscape: NetworkLandscape, path: Path) -> Row:
    ends = path.pivots[[0, -1]]
    score = landscape.score(ends.mean(0, keepdim=True), "test")
    loss = Measured.mean(score.losses[0].cpu())
    error = Measured.mean(score.errors[0].cpu())
    return {"average": {**loss.columns("test_loss"), **error.columns("test_error")}}


def _shared_mistakes(along: Profile) -> Row:
    assert along.test_errors is not None
    ends = along.test_errors[[0, -1]]
    mistakes = ends == 1
    is_judged = mistakes | (ends == 0)
    if not bool(is_judged.all()):
        raise UserError("only of classes is there a right and a wrong answer")
    first, last = mistakes
    shared = first & last
    of_any = first | last
    both = int(shared.sum())
    either = int(of_any.sum())
    share = None
    if either:
        share = both / either
    return {"shared_mistakes": {"both": both, "either": either, "share": share}}


def _predictions(landscape: NetworkLandscape, theta: Tensor) -> Tensor:
    """For the test inputs that a path is scored on, [N, …]."""
    buffers = landscape.statistics(theta)
    inputs, _ = landscape.examples("test")
    outputs = landscape.outputs_with(theta, buffers, inputs)
    return landscape.loss.predictions(outputs)


def _interpolated(landscape: NetworkLandscape, path: Path, members: int) -> Row:
    """The same path with batch-norm statistics interpolated between the ends', the fault of earlier
    tools; none without any."""
    first = landscape.statistics(path.pivots[0])
    last = landscape.statistics(path.pivots[-1])
    if not first:
        return {}
    t = torch.linspace(0, 1, 2 * members + 1, dtype=torch.float64)
    losses = []
    errors = []
    for at, theta in zip(t.tolist(), path.at(t), strict=True):
        buffers = {name: torch.lerp(first[name], last[name], at) for name in first}
        score = landscape.score(theta[None], "train", buffers)
        losses.append(float(score.losses.mean()))
        errors.append(float(score.errors.mean()))
    return {"interpolated_statistics": {"train_loss": max(losses), "train_error": max(errors)}}
