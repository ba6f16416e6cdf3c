"""Pairs joined in several ways: a small study from end to end, and verdicts that can fail."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sgdtheory.data.digits import digits
from sgdtheory.errors import RunError
from sgdtheory.landscapes.network import Network
from sgdtheory.models.mobilenet import MobileNet
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.paths.autoneb import AutoNEB, Cycle
from sgdtheory.rng import stream
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.statistics.measured import Claim
from sgdtheory.statistics.proportions import interval
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.studies.reliabilities.claims import claims_of, summaries
from sgdtheory.studies.reliabilities.ways import Evaluated, Joined, Line, Searched
from tests.conftest import Said
from tests.studies.asked import results

BRIEF = AutoNEB((Cycle(3, 2), Cycle(3, 1)), batch_size=16, learning_rate=0.01, retries=0)


def test_a_small_study(sgdtheory: Callable[..., Said]) -> None:
    _, found = results(
        sgdtheory,
        "autoneb_reliability",
        "networks=[mlp]",
        "pairs=1",
        "data.limit=200",
        "recipes.mlp.landscape.model.hidden=[8]",
        "recipes.mlp.sgd.steps=200",
        "ways.autoneb.method.steps=4",
        "ways.autoneb.method.last_steps=4",
        "ways.evaluated.autoneb.steps=4",
        "ways.evaluated.autoneb.last_steps=4",
        "ways.bezier_3.gradients=20",
        *(f"~ways.{name}" for name in ("aligned", "bezier_1", "bezier_2", "chain", "string")),
        "~ways.evaluated_draxler",
    )
    names = [row["way"] for row in found["tables"]["ways"]]
    assert set(names) == {"line", "bezier_3", "autoneb", "evaluated"}
    pairs = [row for row in found["tables"]["pairs"] if row["way"] == "line"]
    straight = [row["straight"] for row in found["tables"]["minima"]]
    assert [row["barrier"] for row in pairs] == straight
    assert all(row["cpu_seconds"] > 0 for row in found["tables"]["pairs"])
    claims = {claim["name"] for claim in found["claims"]}
    assert claims == {"joined", "mlp_joined", "mlp_evaluated"}


def test_a_network_that_is_not_there_is_told(sgdtheory: Callable[..., Said]) -> None:
    said = sgdtheory("study", "autoneb_reliability", "networks=[mpl]")
    assert said.code == 2 and "there is no recipe 'mpl'; there are mlp, mobilenet" in said.err


def joined(way: Any, network: Network, path: Path) -> Joined:
    start = network.init(2, stream(0, "ends"))
    *_, last = SGD(60, 32, 0.3, Constant(), 0.9).run(network, start, 0)
    ends = last.cloud.clone()
    found = way.join(network, ends, 0, UnitFolder(path, Unit("way", {"way": str(way)})))
    assert isinstance(found, Joined)
    return found


def test_what_a_search_in_evaluation_mode_sees_is_not_what_is_there(tmp_path: Path) -> None:
    """Same cycles: the one judges its path by recomputed statistics, the other sees its own."""
    network = Network(lambda **facts: MobileNet(**facts, width=2, doublings=1), digits(limit=100))
    ours = joined(Searched(BRIEF), network, tmp_path / "ours")
    theirs = joined(Evaluated(BRIEF), network, tmp_path / "theirs")
    assert ours.seen == pytest.approx(ours.barrier.value, rel=1e-12)
    assert theirs.barrier.value is not None and theirs.seen is not None
    assert theirs.seen != pytest.approx(theirs.barrier.value, rel=1e-3)
    assert theirs.gradients == ours.gradients > 0
    line = joined(Line(), network, tmp_path / "line")
    assert line.gradients == 0 and line.length_ratio == 1


def test_a_search_that_diverges_joins_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: Any, **__: Any) -> torch.Tensor:
        raise RunError("no finite path")

    monkeypatch.setattr(AutoNEB, "find", diverge)
    network = Network(lambda **facts: MobileNet(**facts, width=2, doublings=1), digits(limit=60))
    found = joined(Evaluated(BRIEF), network, tmp_path)
    assert found.barrier.value is None and found.barrier.why == "no finite path"


def rows(way: str, barriers: list[float | None], batch_norm: bool = True) -> Rows:
    found: Rows = []
    for pair, barrier in enumerate(barriers):
        is_low = barrier is not None and barrier < 0.01
        row: Row = {"network": "net", "way": way, "pair": pair, "barrier": barrier}
        row |= {"joined": is_low, "seen_joined": is_low, "seen": barrier, "batch_norm": batch_norm}
        found.append({**row, "gradients": 2000, "cpu_seconds": 2.0})
    return found


def judged(of_all: Rows) -> dict[str, Claim]:
    return {claim.name: claim for claim in claims_of(of_all, summaries(of_all))}


def test_what_is_said_of_how_many() -> None:
    good = rows("autoneb", [0.001] * 6)
    bad = rows("evaluated", [0.3, None, 0.2, 0.4, 0.5, None])
    claims = judged(good + bad)
    assert [claim.holds for claim in claims.values()] == [True, True, True]
    words = claims["net_evaluated"].statement
    assert "0 of 6 pairs (95 %: 0 to 45.9 %)" in words and "2 without a finite path" in words
    # by five pairs of five more than half of all is not shown; and where half are not joined
    assert judged(good[:5])["net_joined"].holds is None
    assert judged(rows("autoneb", [0.001, *[0.3] * 9]))["net_joined"].holds is False
    # another practice that does as well
    same = judged(good + rows("evaluated", [0.0005] * 6))
    assert same["net_evaluated"].holds is False and same["joined"].holds is False
    both = rows("autoneb", [0.001] * 6, False) + rows("evaluated", [0.3] * 6, False)
    without = judged(both)
    assert without["net_evaluated"].holds is None and without["joined"].holds is True


def test_quantiles_count_a_missing_path_as_the_highest() -> None:
    (row,) = summaries(rows("evaluated", [0.1, 0.2, 0.3, None]))
    assert row["barrier"] == 0.2 and row["high"] is None and row["highest"] is None
    assert row["diverged"] == 1 and row["low"] == 0.1
    assert (row["interval_low"], row["interval_high"]) == interval(0, 4)
