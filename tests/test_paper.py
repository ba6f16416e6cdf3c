"""The rows of the AutoNEB paper are models × data, and not twenty-six files that may drift apart."""

import sys

import hydra
import pytest

from sgdtheory.commandline.targets import CONFIGS
from tests.recipes import HERE

sys.path.append(str(HERE / "scripts"))
import paper


def test_the_files_are_the_product() -> None:
    files = CONFIGS.glob("experiment/draxler_*_cifar*.yaml")
    found = {file.stem: file.read_text(encoding="utf-8") for file in files}
    assert found == paper.rows(), "run scripts/paper.py"
    assert len(found) == len(paper.MODELS) * len(paper.DATA) == 26


@pytest.mark.parametrize(
    ("name", "steps", "nesterov", "width"),
    [("cnn24_cifar100", 64_000, False, 24), ("densenet40_cifar10", 250_000, True, None)],
)
def test_a_row_has_its_model_its_data_and_the_papers_optimiser(
    name: str, steps: int, nesterov: bool, width: int | None
) -> None:
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        cfg = hydra.compose("train", overrides=[f"experiment=draxler_{name}"])
    assert (cfg.sgd.steps, cfg.sgd.nesterov, cfg.sgd.momentum) == (steps, nesterov, 0.9)
    assert cfg.data.name == name.partition("_")[2] and cfg.data.augment == "crop_flip"
    assert cfg.model.get("width") == width and cfg.minima == 10
    assert cfg.schedule._target_ == "sgdtheory.optim.schedule.Steps"
