"""Networks that Adam has trained are joined by Adam, unless SGD is asked for."""

import json
import sys
from typing import Any

import pytest
import yaml

from sgdtheory.cli import main

NET = ["model=mlp", "model.hidden=[16]", "executor.workers=1", "--quiet"]
SMALL = ["autoneb.steps=30", "autoneb.last_steps=60", "baselines.gradients=50", "baselines.dense=7"]
RATE = 0.004


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["sgdtheory", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Any]]:
    """(configuration, edge) of the same pair, joined as it was trained, and by SGD."""
    patch = pytest.MonkeyPatch()
    found = {}
    root = tmp_path_factory.mktemp("runs")
    adamw = ["sgd=adamw", f"sgd.learning_rate={RATE}", "sgd.steps=300", "minima=2"]
    run(["train", *NET, *adamw, f"run.root={root}"], patch)
    (trained,) = (root / "train").iterdir()
    for name, words in {"as trained": [], "sgd": ["sgd=sgd"]}.items():
        folder = root / name
        words = [*words, f"minima={trained}", f"run.dir={folder}"]
        run(["connect", *NET, *SMALL, *words], patch)
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        found[name] = config["sgd"], results["edges"][0]
    patch.undo()
    return found


def test_bands_and_bends_descend_as_the_ends_were_trained(
    joined: dict[str, tuple[Any, Any]],
) -> None:
    sgd, edge = joined["as trained"]
    assert sgd["_target_"] == "sgdtheory.optim.adam.Adam" and sgd["learning_rate"] == RATE
    assert edge["path"]["learning_rate"] / RATE in (1.0, 2.0, 1 / 3, 2 / 3, 1 / 9)
    assert edge["bezier"]["learning_rate"] == edge["chain"]["learning_rate"] == RATE
    assert edge["barrier"]["value"] < 0.2 * edge["straight_barrier"]["value"]


def test_sgd_can_be_asked_for(joined: dict[str, tuple[Any, Any]]) -> None:
    sgd, edge = joined["sgd"]
    assert sgd["_target_"] == "sgdtheory.optim.sgd.SGD"
    # max Σw² is 1 of a chain, 9/32 of a Bézier curve with two bends
    assert edge["bezier"]["learning_rate"] == pytest.approx(32 / 9 * edge["chain"]["learning_rate"])
    of_adam = joined["as trained"][1]
    assert edge["linear"] == of_adam["linear"]  # the same ends
    assert edge["curves"]["path"] != of_adam["curves"]["path"]
