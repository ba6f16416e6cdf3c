"""Randomness is a pure function of (seed, names)."""

import torch

from sgdtheory.rng import key, stream


def draws(*names: object) -> torch.Tensor:
    return torch.randn(1000, generator=stream(*names))  # type: ignore[arg-type]


def test_the_same_names_give_the_same_draws() -> None:
    assert torch.equal(draws(3, "batch", 7), draws(3, "batch", 7))


def test_any_other_name_or_seed_gives_independent_draws() -> None:
    first = draws(3, "batch", 7)
    for other in (
        draws(4, "batch", 7),
        draws(3, "batch", 8),
        draws(3, "init", 7),
        draws(3, "batch7"),
    ):
        correlation = torch.corrcoef(torch.stack([first, other]))[0, 1]
        assert abs(correlation) < 5 / 1000**0.5  # five standard errors


def test_names_are_kept_apart() -> None:
    assert key(0, "ab", "c") != key(0, "a", "bc")


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    draws(0, "anything")
    assert torch.equal(before, torch.get_rng_state())
