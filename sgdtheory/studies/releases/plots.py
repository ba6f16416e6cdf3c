"""Curvatures and drifts of released clouds, as pictures."""

from sgdtheory.statistics.measured import Plot

PLOTS = [
    Plot(
        "released",
        "At rest the ground that noise has found is flatter",
        "Tr H of points released on paths: clouds of SGD of two batch sizes, let down by "
        "full-batch descent, and, before each, gradient descent where it has the objectives of "
        "that cloud. Bars: one standard error over replicas. A cloud of small batches is at rest "
        "with longer weights; part of what it gains is that.",
        "curvature",
        "noise",
        ("trace",),
        by="place",
        labels={"noise": "released to", "trace": "Tr H"},
    ),
    Plot(
        "drift",
        "Noise drives a cloud outwards along the chord, hardly along the path",
        "Mean displacement towards the nearer end, gradient descent's subtracted, against "
        "time; means over paths with their standard errors. Left along the straight line "
        "between the ends, right along the path's tangent at the point of release. The cloud "
        "leaves the path more than it slides along it, and does not reach the ends in this "
        "time.",
        "drift",
        "time",
        ("chord", "tangent"),
        by="batch_size",
        level=0.0,
        labels={
            "time": "ηt",
            "chord": "along the chord",
            "tangent": "along the tangent",
            "batch_size": "b =",
        },
    ),
]
