"""An edge that is killed goes on inside its search, to the same bits."""

from pathlib import Path

import pytest

from tests import test_faults
from tests.forks import WORDS
from tests.test_faults import killed_at_random, undisturbed

RING = ("connect", "landscape=ring", *WORDS)  # some seconds of work, most of it inside one edge
SOMETIMES = "import sgdtheory.run as run; run.CHECKPOINT_SECONDS = 0.2\n"  # 2,000 steps of a fifth of a millisecond


def test_killed_inside_an_edge_it_comes_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_faults, "OFTEN", SOMETIMES)
    undisturbed(RING)
    killed_at_random(tmp_path, RING, 10, 3.0)
