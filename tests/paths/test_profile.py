"""The errors of a barrier, against data sets whose population is known."""

from functools import partial

import numpy as np
import pytest
import torch

from sgdtheory.data.digits import digits
from sgdtheory.landscapes.double_well import DoubleWell
from sgdtheory.landscapes.network import Network
from sgdtheory.models.mlp import MLP
from sgdtheory.optim.schedule import Cosine
from sgdtheory.optim.sgd import SGD
from sgdtheory.paths.autoneb import AutoNEB, Cycle
from sgdtheory.paths.polyline import points_at
from sgdtheory.paths.profile import Profile, profile, profile_to_the_top
from sgdtheory.rng import stream


def made(losses: torch.Tensor) -> Profile:
    points = losses.shape[0]
    zeros = torch.zeros_like(losses)
    return Profile(torch.linspace(0, 1, points, dtype=torch.float64), losses, zeros, losses, zeros)


def population(examples: int, seed: int) -> torch.Tensor:
    """Losses [5, N] of examples: correlated along the path, as those of one image are; a barrier of
    0.5 in the middle."""
    generator = stream(seed, "population")
    common = torch.empty(1, examples, dtype=torch.float64).exponential_(1.0, generator=generator)
    own = torch.empty(5, examples, dtype=torch.float64).exponential_(2.0, generator=generator)
    return common + own + torch.tensor([0.0, 0.2, 0.5, 0.1, 0.05], dtype=torch.float64)[:, None]


def test_a_barrier_is_the_highest_mean_over_the_higher_end() -> None:
    losses = torch.tensor([[0.0, 0.2], [1.0, 3.0], [0.4, 0.4]], dtype=torch.float64)
    found = made(losses)
    assert found.worst == 1 and found.saddle_at == 0.5
    assert found.highest().value == pytest.approx(2.0)
    assert found.barrier().value == pytest.approx(2.0 - 0.4)
    assert found.barrier_from(0).value == pytest.approx(2.0 - 0.1)
    assert found.barrier_above_line().value == pytest.approx(2.0 - 0.25)


def test_a_formula_has_no_error() -> None:
    found = Profile(
        torch.tensor([0.0, 0.5, 1.0]),
        torch.tensor([[0.0], [3.0], [1.0]]).double(),
        None,
        None,
        None,
    )
    barrier = found.barrier()
    assert (barrier.value, barrier.stderr) == (2.0, 0.0)
    assert found.row()["test_loss_why"] == "a formula has no examples"


@pytest.mark.parametrize("place", [0.03, 0.31, 0.5, 0.68, 0.99])
def test_the_top_of_a_curve_is_found_between_its_points(place: float) -> None:
    """¼(θ² − 1)² has its top at 0, V″ = −1: of 15 points of a line of length 1 the nearest is at
    most 1/28 away and at most ½/28² too low. Halved thrice, 64 times less."""
    landscape = DoubleWell()

    def at(t: torch.Tensor) -> torch.Tensor:
        return (t - place)[:, None]

    t = torch.linspace(0, 1, 15, dtype=torch.float64)
    coarse = profile(landscape, at(t), t)
    fine = profile_to_the_top(landscape, at, t)
    missed = 0.5 / 28**2
    assert 0.25 - missed <= float(coarse.train_losses.max()) <= 0.25
    assert 0.25 - missed / 64 <= float(fine.train_losses.max()) <= 0.25
    assert len(fine.t) <= 15 + 6 and bool((fine.t.diff() > 0).all())
    assert set(coarse.t.tolist()) <= set(fine.t.tolist())


def test_intervals_from_a_tenth_of_the_data_cover_the_value_from_all() -> None:
    """200 subsamples: 95 % intervals hold the barrier of all data in 90–99 % of them (binomial: 95
    ± 1.5 %)."""
    everything = population(4000, 0)
    truth = made(everything).barrier().value
    assert truth is not None
    generator = np.random.Generator(np.random.PCG64(0))
    held = 0
    for _ in range(200):
        chosen = torch.from_numpy(generator.choice(4000, 400, replace=False))
        found = made(everything[:, chosen]).barrier()
        assert found.value is not None and found.stderr is not None
        # what is asked for is the population's value: the sampled fraction makes these intervals a
        # little wide
        held += abs(found.value - truth) < 1.96 * found.stderr
    assert 180 <= held <= 198


@pytest.fixture(scope="module")
def measured() -> list[torch.Tensor]:
    """Losses [25, 1437] of the digits along the path between two small networks, and along their
    straight line.

    Trained for little, so that single examples of high loss carry the barrier: the kurtosis of what
    they contribute is about a hundred. Over fifteen such networks a tenth of the data covers in 94
    % on average, in 88 % at the least.
    """
    found = []
    landscape = Network(partial(MLP, hidden=(16,)), digits())
    for seed in (0, 1):
        *_, last = SGD(400, 128, 0.3, Cosine(), 0.9).run(
            landscape, landscape.init(2, stream(seed, "init")), seed
        )
        ends = last.cloud.clone()
        neb = AutoNEB((Cycle(60, 3), Cycle(60), Cycle(100)), 128, 0.1, retries=0)
        path = neb.find(landscape, ends, seed).path.pivots
        t = torch.linspace(0, 1, 25, dtype=torch.float64)
        found += [profile(landscape, points_at(way, t), t).train_losses for way in (path, ends)]
    return found


def covered(everything: torch.Tensor, subsamples: int = 200) -> int:
    """How many 95 % intervals from a tenth of the data, without replacement, hold the value from
    all of them.

    A tenth is not far from all: the difference scatters by √(1 − 1/10) of an error that is that of
    the population.
    """
    truth = made(everything).barrier().value
    count = everything.shape[1]
    generator = np.random.Generator(np.random.PCG64(0))
    held = 0
    for _ in range(subsamples):
        chosen = torch.from_numpy(generator.choice(count, count // 10, replace=False))
        found = made(everything[:, chosen]).barrier()
        assert truth is not None and found.value is not None and found.stderr is not None
        held += abs(found.value - truth) < 1.96 * found.stderr * 0.9**0.5
    return held


def test_intervals_from_a_tenth_of_the_digits_cover_the_barrier_of_a_network(
    measured: list[torch.Tensor],
) -> None:
    for losses in measured:
        assert 180 <= covered(losses) <= 198


def with_rare(seed: int) -> torch.Tensor:
    """One example in a hundred carries the barrier: four of them in a tenth of the data."""
    losses = 0.01 * population(4000, seed)
    source = stream(seed, "rare")
    rare = torch.rand(4000, generator=source, dtype=torch.float64) < 0.01
    losses[2] += rare * torch.empty(4000, dtype=torch.float64).exponential_(0.5, generator=source)
    return losses


def test_errors_that_forget_the_tail_do_not_cover(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight populations, for one alone scatters by 3 %: 92 % are covered, without the widening 78
    %."""
    populations = [with_rare(seed) for seed in range(1, 9)]
    assert 0.9 * 800 <= sum(covered(losses, 100) for losses in populations) <= 0.99 * 800
    monkeypatch.setattr("sgdtheory.paths.profile._widened", lambda *_: 1.0)
    assert sum(covered(losses, 100) for losses in populations) < 0.875 * 800


def test_the_error_is_paired() -> None:
    """Common ups and downs of an example cancel in a difference: unpaired errors would be √(2·(1 +
    1/4)/N), 1.6 × larger."""
    found = made(population(4000, 1))
    paired = (2 * 0.25 / 4000) ** 0.5  # two independent exponentials of standard deviation ½
    stderr = found.barrier().stderr
    assert stderr == pytest.approx(paired, rel=0.15)


@pytest.mark.parametrize("spread", [0.0, 1e-9, 1e-6, 1e-3])
@pytest.mark.parametrize("carriers", [1, 2, 3])
def test_the_error_of_what_few_examples_carry(carriers: int, spread: float) -> None:
    """Resamples without the carriers had no error, and that of the barrier was up to 1e152. Poisson:
    seen so many of 1,000, at 97.5 % there are no more than 5.57, 7.22, 8.77."""
    losses = torch.zeros(3, 1000, dtype=torch.float64)
    losses[1, :carriers] = 5.0
    losses[1] += spread * torch.randn(1000, generator=stream(0, "spread"), dtype=torch.float64)
    found = made(losses).barrier()
    assert found.value == pytest.approx(0.005 * carriers, rel=0.01) and found.stderr is not None
    highest = {1: 5.572, 2: 7.225, 3: 8.767}[carriers]
    beyond = 1.96 * found.stderr / 0.005
    # of two, resamples without any say twice as much
    assert 0.95 * (highest - carriers) < beyond < 2.3 * (highest - carriers)


def test_the_rise_of_the_test_error_is_paired() -> None:
    """Of a thousand test examples 300 are wrong at the worse end, the same ones and ten more at the
    top: ten of a thousand differ, whatever the 300 do. Where none does, one might have."""
    wrong = torch.zeros(3, 1000, dtype=torch.float64)
    wrong[:, :250] = 1
    wrong[1:, :300] = 1
    wrong[1, :310] = 1
    losses = torch.tensor([[0.0], [1.0], [0.0]], dtype=torch.float64).expand(3, 1000)
    rise = made(losses)._replace(test_errors=wrong).test_error_rise()
    assert rise.value == pytest.approx(0.01)
    assert rise.stderr == pytest.approx((0.01 * 0.99 / 1000) ** 0.5, rel=1e-3)
    wrong[1, 300:] = 0
    same = made(losses)._replace(test_errors=wrong).test_error_rise()
    assert (same.value, same.stderr) == (0.0, 0.001)
