"""The errors of a barrier, against data sets whose population is known."""

import numpy as np
import pytest
import torch

from sgdtheory.profile import Profile
from sgdtheory.streams import stream


def made(losses: torch.Tensor) -> Profile:
    points = losses.shape[0]
    zeros = torch.zeros_like(losses)
    return Profile(torch.linspace(0, 1, points, dtype=torch.float64), losses, zeros, losses, zeros)


def population(examples: int, seed: int) -> torch.Tensor:
    """Losses [5, N] of examples: correlated along the path, as those of one image are; a barrier of 0.5 in the middle."""
    generator = stream(seed, "population")
    common = torch.empty(1, examples, dtype=torch.float64).exponential_(1.0, generator=generator)
    own = torch.empty(5, examples, dtype=torch.float64).exponential_(2.0, generator=generator)
    return common + own + torch.tensor([0.0, 0.2, 0.5, 0.1, 0.05], dtype=torch.float64)[:, None]


def test_a_barrier_is_the_highest_mean_over_the_higher_end() -> None:
    losses = torch.tensor([[0.0, 0.2], [1.0, 3.0], [0.4, 0.4]], dtype=torch.float64)
    profile = made(losses)
    assert profile.worst == 1 and profile.saddle_at == 0.5
    assert profile.highest().value == pytest.approx(2.0)
    assert profile.barrier().value == pytest.approx(2.0 - 0.4)
    assert profile.barrier(over_first=True).value == pytest.approx(2.0 - 0.1)
    assert profile.barrier_above_line().value == pytest.approx(2.0 - 0.25)


def test_a_formula_has_no_error() -> None:
    profile = Profile(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([[0.0], [3.0], [1.0]]).double(), None, None, None)
    barrier = profile.barrier()
    assert (barrier.value, barrier.stderr) == (2.0, 0.0)
    assert profile.row()["test_loss_why"] == "a formula has no examples"


def test_intervals_from_a_tenth_of_the_data_cover_the_value_from_all() -> None:
    """200 subsamples: 95 % intervals hold the barrier of all data in 90–99 % of them (binomial: 95 ± 1.5 %)."""
    everything = population(4000, 0)
    truth = made(everything).barrier().value
    assert truth is not None
    generator = np.random.Generator(np.random.PCG64(0))
    held = 0
    for _ in range(200):
        chosen = torch.from_numpy(generator.choice(4000, 400, replace=False))
        found = made(everything[:, chosen]).barrier()
        assert found.value is not None and found.stderr is not None
        # what is asked for is the population's value: the sampled fraction makes these intervals a little wide
        held += abs(found.value - truth) < 1.96 * found.stderr
    assert 180 <= held <= 198


def test_the_error_is_paired() -> None:
    """Common ups and downs of an example cancel in a difference: unpaired errors would be √(2·(1 + 1/4)/N), 1.6 × larger."""
    profile = made(population(4000, 1))
    paired = (2 * 0.25 / 4000) ** 0.5  # two independent exponentials of standard deviation ½
    stderr = profile.barrier().stderr
    assert stderr == pytest.approx(paired, rel=0.15)
