"""Schedules of AutoNEB: the paper's, and one that reaches the same maximum soonest."""

from typing import Literal

from sgdtheory.annotations import BelowOne, Fraction, NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.optim.sampling import Sampling
from sgdtheory.optim.schedule import Cosine
from sgdtheory.paths.autoneb import AutoNEB, Cycle


def draxler(
    scale: PositiveFloat = 1.0,
    batch_size: PositiveInt = 512,
    learning_rate: PositiveFloat = 0.1,
    threshold: Fraction = 0.2,
    momentum: BelowOne = 0.9,
    sampling: Sampling = "epoch",
) -> AutoNEB:
    """The paper's 14 cycles (1803.00885, 4.1 and its code): 4 × 1000 and 2 × 2000 steps at 0.1, 4 ×
    1000 at a tenth of that and 4 × 1000 at a hundredth; 3 pivots first, then at most 2 more a
    cycle; 248,000 pivot gradients. `scale` multiplies all steps. `threshold`: 20 % in the paper,
    10 % in its code."""
    plan = [(1000, 1.0)] * 4
    plan += [(2000, 1.0)] * 2
    plan += [(1000, 0.1)] * 4
    plan += [(1000, 0.01)] * 4
    cycles = []
    for i, (steps, rate) in enumerate(plan):
        scaled = max(1, round(scale * steps))
        insert = 3 if i == 0 else 2
        cycles.append(Cycle(scaled, insert, rate))
    return AutoNEB(
        cycles=tuple(cycles),
        batch_size=batch_size,
        learning_rate=learning_rate,
        momentum=momentum,
        sampling=sampling,
        threshold=threshold,
        sub_points=9,
        retries=0,
    )


def fast(
    steps: PositiveInt = 60,
    last_steps: PositiveInt = 100,
    batch_size: PositiveInt = 128,
    learning_rate: PositiveFloat | Literal["auto"] = "auto",
    multiples: tuple[PositiveFloat, ...] = (2.0, 1.0),
    threshold: Fraction = 0.05,
    enough: Fraction = 0.0025,
    retry_above: Fraction = 0.01,
    retries: NonNegativeInt = 1,
    momentum: BelowOne = 0.9,
    sampling: Sampling = "iid",
) -> AutoNEB:
    """Few pivots, 5, 7, 9, 11, 13 with the ends: four short cycles at a constant learning rate, and
    one that lets it fall.

    Measured on digits with the rate given and rises not undone, 15 pairs each, batch 128, excess in
    nats, mean and worst, and gradients a pair. MLP, straight line .94: `draxler(0.1)` .0014, .0018,
    24,100; `enough` .0025 .0015, .0048, 4,240; .005 .0034, .0050, 2,580. ResNet-8, 1.56:
    `draxler(0.1)` .00036, .00054, 23,900; `enough` .0025 .00044, .00074, 1,900. With measured rates
    that go down, 15 pairs of MLPs: twice the rate first .0014, .0022, 2,010; the rate itself first
    .0015, .0033, 2,500 (paired difference of the excess .0000 ± .0003).
    """
    first = Cycle(steps, 3)
    short = Cycle(steps)
    last = Cycle(last_steps, schedule=Cosine())
    return AutoNEB(
        cycles=(first, short, short, short, last),
        batch_size=batch_size,
        learning_rate=learning_rate,
        multiples=multiples,
        momentum=momentum,
        sampling=sampling,
        threshold=threshold,
        enough=enough,
        retry_above=retry_above,
        retries=retries,
    )
