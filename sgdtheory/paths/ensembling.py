"""What a path is good for once it is found: an ensemble, an average, and what two networks get
wrong alike."""

import torch
from torch import Tensor

from sgdtheory.landscape import Landscape
from sgdtheory.paths.path import Path
from sgdtheory.paths.profile import Profile
from sgdtheory.roles.examples import NetworkLandscape, network_of
from sgdtheory.runs.extra import extra
from sgdtheory.statistics.measured import Measured, Row


def ensembling(landscape: Landscape, path: Path, along: Profile, members: int = 5) -> Row:
    """Test error of an ensemble of points of the path, of the average of the ends, and how alike
    the ends' mistakes are.

    Each for itself: what a module cannot give is null, with the reason.

    """
    return {
        **extra(["ensemble"], lambda: _ensemble(network_of(landscape), path, members)),
        **extra(["average"], lambda: _average(network_of(landscape), path)),
        **extra(["shared_mistakes"], lambda: _shared_mistakes(along)),
        **extra(
            ["interpolated_statistics"], lambda: _interpolated(network_of(landscape), path, members)
        ),
    }


def _ensemble(landscape: NetworkLandscape, path: Path, members: int) -> Row:
    points = path.at(torch.linspace(0, 1, members, dtype=torch.float64))
    votes = torch.stack([_probabilities(landscape, theta) for theta in points]).mean(0)
    wrong = (votes.argmax(1) != landscape.data.test_labels).double().cpu()
    return {"ensemble": {"points": members, **Measured.mean(wrong).columns("test_error")}}


def _average(landscape: NetworkLandscape, path: Path) -> Row:
    score = landscape.score(path.pivots[[0, -1]].mean(0, keepdim=True), "test")
    loss = Measured.mean(score.losses[0].cpu())
    error = Measured.mean(score.errors[0].cpu())
    return {"average": {**loss.columns("test_loss"), **error.columns("test_error")}}


def _shared_mistakes(along: Profile) -> Row:
    assert along.test_errors is not None
    wrong = along.test_errors[[0, -1]].bool()
    both = int((wrong[0] & wrong[1]).sum())
    either = int((wrong[0] | wrong[1]).sum())
    return {
        "shared_mistakes": {
            "both": both,
            "either": either,
            "share": both / either if either else None,
        }
    }


def _probabilities(landscape: NetworkLandscape, theta: Tensor) -> Tensor:
    with torch.no_grad():
        inputs = landscape.data.scaled(landscape.data.test_images, torch.float32).to(theta.dtype)
        found: Tensor = landscape.model_at(theta)(inputs).softmax(1)
    return found


def _interpolated(landscape: NetworkLandscape, path: Path, members: int) -> Row:
    """The same path with batch-norm statistics interpolated between the ends', the fault of earlier
    tools; none without any."""
    first, last = (landscape.statistics(theta) for theta in path.pivots[[0, -1]])
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
