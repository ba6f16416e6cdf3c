"""Directions and losses along runs, as pictures."""

from sgdtheory.statistics.measured import Plot


def plots() -> list[Plot]:
    labels = {
        "step": "step of SGD",
        "cosine": "cosine of −∇L and the way to the end, mean",
        "lowest_cosine": "the lowest of the runs",
        "loss": "loss / nats",
        "smoothed_loss": "smoothed loss / nats",
    }
    directions = (
        "Cosine of the angle between the descent direction and the way to where the run is going "
        "to end, at snapshots of SGD; bars are standard errors over runs. Above the line a small "
        "step down the gradient comes nearer to the end. It is seen afterwards, with the end "
        "known; why a run ends there it does not say."
    )
    losses = (
        "Loss at snapshots of SGD, and its mean over the next step's noise, E L(θ − ηω), the loss "
        "that SGD descends in the picture of Kleinberg et al.; both of the whole training set. "
        "Where the second is not much above the first, the noise of one step smooths little away."
    )
    return [
        Plot(
            "directions",
            "The gradient points at the end of a run that trains",
            directions,
            "snapshots",
            "step",
            ("cosine", "lowest_cosine"),
            by="run",
            level=0.0,
            labels=labels,
        ),
        Plot(
            "smoothed_losses",
            "What one step's noise adds to the loss",
            losses,
            "snapshots",
            "step",
            ("loss", "smoothed_loss"),
            by="run",
            log="y",
            labels=labels,
        ),
    ]
