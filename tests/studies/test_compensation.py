"""Pushes on quadratics, where what is left is known exactly; a network from end to end; claims that can fail."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sgdtheory.geometry.hessian import hessian as whole_hessian
from sgdtheory.landscapes.derived import clamped
from sgdtheory.landscapes.derived.clamped import Clamped, push, second_order
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.protocol import value_and_grad
from sgdtheory.rng import stream
from sgdtheory.studies.compensation import claims_of, made_up
from tests.conftest import Said

Command = Callable[..., Said]
BOWL = Quadratic(curvatures=(0.1, 0.5, 1.0, 2.0, 9.0), ambient=8, stiffness=0.3)
ORIGIN = torch.zeros(8, dtype=torch.float64)


def hessian() -> np.ndarray:
    """From the formula: FᵀhF + stiffness·(1 − FᵀF)."""
    frame = BOWL.frame.numpy()
    found: np.ndarray = frame.T @ np.diag([0.1, 0.5, 1.0, 2.0, 9.0]) @ frame + 0.3 * (
        np.eye(8) - frame.T @ frame
    )
    return found


@pytest.mark.parametrize("delta", [0.1, -1.0])
@pytest.mark.parametrize("index", [0, 3, 7])
def test_on_a_bowl_elimination_is_exact(index: int, delta: float) -> None:
    h = hessian()
    row = push(BOWL, ORIGIN, index, delta, 50)
    assert row["rise"] == pytest.approx(0.5 * delta**2 * h[index, index], rel=1e-10)
    assert row["left"] == pytest.approx(0.5 * delta**2 / np.linalg.inv(h)[index, index], rel=1e-10)
    assert row["gradient_norm"] < 1e-10
    (theory,) = second_order(whole_hessian(BOWL, ORIGIN), [index])
    assert row["left"] / row["rise"] == pytest.approx(theory, rel=1e-9)


def test_a_parameter_that_is_let_go_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others make up for all of it, and theory says that they do not."""
    monkeypatch.setattr(clamped, "lbfgs", lambda held, cloud, steps: torch.zeros_like(cloud))
    monkeypatch.setattr(
        Clamped, "place", lambda self, cloud: cloud + (0.1 if bool(cloud.any()) else 0.0)
    )
    row = push(BOWL, ORIGIN, 3, 0.1, 50)
    assert abs(row["left"] - 0.5 * 0.1**2 / np.linalg.inv(hessian())[3, 3]) > 1e-4


def test_what_is_held_has_no_gradient_and_nothing_else_changes() -> None:
    cloud = BOWL.init(3, stream(0, "init")).double()
    held = Clamped(BOWL, 2, 0.7)
    losses, gradients = value_and_grad(held, cloud)
    same, whole = value_and_grad(BOWL, held.place(cloud))
    assert (
        torch.equal(losses, same)
        and not gradients[:, 2].any()
        and bool((held.place(cloud)[:, 2] == 0.7).all())
    )
    assert torch.equal(gradients[:, [0, 1, 3, 4, 5, 6, 7]], whole[:, [0, 1, 3, 4, 5, 6, 7]])


def test_the_share_is_a_quotient_of_means() -> None:
    rows = [
        {"data_rise": 1.0, "data_left": 0.0},
        {"data_rise": 3.0, "data_left": 0.2},
        {"data_rise": -0.1, "data_left": 0.1},
    ]
    share = made_up(rows)
    assert (
        share.value == pytest.approx(1 - 0.3 / 3.9)
        and share.stderr is not None
        and share.stderr > 0
    )
    assert (
        made_up([]).value is None and made_up([{"data_rise": -1.0, "data_left": 0.0}]).value is None
    )


def rows_of(
    network: str, delta: float, left: float, over: float, off: float = 0.0
) -> list[dict[str, Any]]:
    """Pushes that leave so much of the data loss's rise, so many times the price, so far off theory."""
    shares = {
        "made_up": 1 - left,
        "left_over_price": over,
        "share_left": 0.1 * (1 + off),
        "theory": 0.1,
    }
    rises = {"data_rise": 1e-3, "data_left": left * 1e-3, "rise": 1e-3, "left": 1e-4}
    return [{"network": network, "delta": side * delta, **rises, **shares} for side in (-1, 1, 1)]


@pytest.mark.parametrize(
    ("wide", "narrow", "off", "holds"),
    [
        ((0.01, 1.5), (0.1, 100.0), 0.05, [True, True, True, True]),
        ((0.10, 1.5), (0.1, 100.0), 0.05, [False, True, True, True]),
        ((0.01, 2.5), (0.1, 100.0), 0.05, [True, False, True, True]),
        ((0.01, 1.5), (0.1, 3.0), 0.05, [True, True, False, True]),
        ((0.01, 1.5), (0.1, 100.0), 0.3, [True, True, True, False]),
    ],
)
def test_the_claims_can_fail(
    wide: tuple[float, float], narrow: tuple[float, float], off: float, holds: list[bool]
) -> None:
    rows = [
        row
        for d in (0.1, 1.0)
        for row in (*rows_of("wide", d, *wide, off), *rows_of("narrow", d, *narrow, off))
    ]
    assert [claim.holds for claim in claims_of(rows, [0.1, 1.0], ["wide", "narrow"])] == holds
    assert {claim.holds for claim in claims_of([], [0.1, 1.0], ["wide", "narrow"])} == {None}


def test_from_end_to_end(sgdtheory: Command) -> None:
    words = [
        "pushed=2", "landscapes.wide.model.hidden=[3]", "landscapes.narrow.model.hidden=[1]", "search_steps=400", "steps=20",
        "data.test_share=0.9", "landscapes.wide.weight_decay=0.01", "landscapes.narrow.weight_decay=0.01", "executor.workers=1",
        "threads=1", "deltas=[0.001]",
    ]  # fmt: skip
    said = sgdtheory("study", "compensation", *words, "--quiet")
    assert said.code == 0, said.err
    found = json.loads(
        (
            Path(said.out.splitlines()[-1].removeprefix("report: ")).parent / "results.json"
        ).read_text(encoding="utf-8")
    )
    rows = found["tables"]["pushes"]
    assert len(rows) == 4 and all(0 < row["left"] < row["rise"] for row in rows)
    assert [row["share_left"] for row in rows] == pytest.approx(
        [row["theory"] for row in rows], rel=0.02
    )
    assert [claim["name"] for claim in found["claims"]] == [
        "made_up",
        "price",
        "too_few",
        "second_order",
    ]
    assert {plot["table"] for plot in found["plots"]} <= set(found["tables"])


def test_what_is_no_minimum_fails_and_says_so(sgdtheory: Command) -> None:
    words = [
        "pushed=2",
        "landscapes.wide.model.hidden=[3]",
        "search_steps=3",
        "deltas=[0.1]",
        "data.test_share=0.9",
    ]
    said = sgdtheory("study", "compensation", *words, "executor.workers=1", "threads=1", "--quiet")
    assert said.code == 1 and "raise search_steps" in said.out + said.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["landscapes.wide.weight_decay=0"], "no minimum is one point"),
        (["~landscapes.narrow"], "name two networks"),
        (["landscapes.wide.model.hidden=[200]"], "whose Hessian fits"),
    ],
)
def test_mistakes_are_told_in_a_line(words: list[str], told: str, sgdtheory: Command) -> None:
    said = sgdtheory("study", "compensation", *words)
    assert said.code == 2 and told in said.err
