"""`sgdtheory sweep-temperature`: the law on landscapes that obey it, honesty on those that do not, mistakes before work."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sgdtheory.runs import interrupt
from sgdtheory.runs.folder import Folder
from sgdtheory.runs.unit import UnitFolder
from tests.conftest import Command, call
from tests.plain_pictures import draw_plainly
from tests.test_outside import OPTIONS, outside  # noqa: F401  (a fixture)

SMALL = (
    "executor.workers=1",
    "threads=1",
    "landscape=quadratic",
    "landscape.directions=3",
    "sweep.batch_size=[8,16]",
)
TRUST = OPTIONS[:4]


def results(tmp_path: Path) -> dict[str, Any]:
    (found,) = tmp_path.glob("runs/sweep-temperature/*/results.json")
    return dict(json.loads(found.read_text(encoding="utf-8")))


def test_a_quadratic_follows_the_law(sgdtheory: Command, tmp_path: Path) -> None:
    said = sgdtheory("sweep-temperature", *SMALL, "landscape.noise_anisotropy=10")
    assert said.code == 0, said.err
    assert "T follows η/2b on Quadratic" in said.out
    found = results(tmp_path)
    assert len(found["cells"]) == 8 and found["fit"]["cells"] == 8
    assert abs(found["fit"]["slope"] - 1) < max(0.03, 3 * found["fit"]["slope_stderr"])
    for cell in found["cells"]:
        value, stderr = (cell["temperature"]["excess_loss"][key] for key in ("value", "stderr"))
        assert (
            cell["stationary"]
            and cell["harmonic"]
            and abs(value - cell["predicted"]) < 4 * stderr < 0.1 * value
        )
        assert cell["sampling"] == "iid" and cell["lost"] == 0
    assert found["scatter"]["observed"] < 0.08
    assert (found["claims"][0]["name"], found["claims"][0]["holds"]) == ("slope", True)


@pytest.fixture(scope="module")
def two_rates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of a sweep of the rates 0.1 and 0.2, whose cells other sweeps share."""
    where = tmp_path_factory.mktemp("two_rates")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(where)
        draw_plainly(patch.setattr)
        assert call("sweep-temperature", *SMALL, "sweep.learning_rate=[0.1,0.2]").code == 0
    return where / "runs"


def test_one_more_rate_is_one_more_column(
    sgdtheory: Command, tmp_path: Path, two_rates: Path
) -> None:
    shutil.copytree(two_rates, tmp_path / "runs")
    more = sgdtheory("sweep-temperature", *SMALL, "sweep.learning_rate=[0.1,0.2,0.4]")
    assert more.code == 0 and "5 of 7 units are done already" in more.err
    again = sgdtheory(
        "sweep-temperature", *SMALL, "sweep.learning_rate=[0.1,0.2]", "estimator=[equipartition]"
    )
    assert "5 of 5 units are done already" in again.err  # estimators read what was recorded


def test_killed_now_and_then_it_gives_the_same_numbers(
    sgdtheory: Command, tmp_path: Path, two_rates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*SMALL, "sweep.learning_rate=[0.1]")
    shutil.copytree(two_rates / "units", tmp_path / "runs/units")
    said = sgdtheory("sweep-temperature", *words)
    assert said.code == 0 and "3 of 3 units are done already" in said.err
    whole = results(tmp_path)
    real, calls = UnitFolder.keep, [0]

    def keep(self: UnitFolder, *args: Any) -> None:
        calls[0] += 1
        interrupt._Stop.requested = calls[0] % 251 == 0
        real(self, *args)

    monkeypatch.setattr(UnitFolder, "keep", keep)
    codes = []
    while not codes or codes[-1] == 130:
        codes.append(sgdtheory("sweep-temperature", *words, "run.root=again").code)
    assert codes[-1] == 0 and len(codes) > 4
    (file,) = (tmp_path / "again").glob("sweep-temperature/*/results.json")
    parts = json.loads(file.read_text(encoding="utf-8"))
    assert parts["cells"] == whole["cells"] and parts["fit"] == whole["fit"]


def only(tmp_path: Path, pattern: str) -> str:
    (found,) = tmp_path.glob(pattern)
    return str(found)


def test_every_minimum_gets_a_grid(sgdtheory: Command, tmp_path: Path) -> None:
    Folder(tmp_path).write_tensors(
        "two.safetensors", {"minima": torch.tensor([[-1.0], [1.0]], dtype=torch.float64)}
    )
    words = (
        "sweep.learning_rate=[0.02,0.04]",
        "sweep.batch_size=[64,128]",
        "executor.workers=1",
        "threads=1",
    )
    said = sgdtheory(
        "sweep-temperature",
        "landscape=double_well",
        "minima=two.safetensors",
        "precision=0.1",
        *words,
    )
    assert said.code == 0, said.err
    found = results(tmp_path)
    assert [cell["minimum"] for cell in found["cells"]] == [0] * 4 + [1] * 4 and len(
        found["minima"]
    ) == 2
    told = " ".join(said.out.split())  # whatever is folded
    assert found["fit"]["cells"] == 8 and "8 of 8 cells at 2 minima" in told


def test_each_diagnostic_has_a_table_of_its_own(sgdtheory: Command, tmp_path: Path) -> None:
    words = ("sweep-temperature", *SMALL, "replicas=2", "sweep.learning_rate=[0.1]")
    said = sgdtheory(*words, "sgd.steps=300", "diagnostic=[spectrum,sharpness]")
    assert said.code == 0, said
    assert set(results(tmp_path)["diagnostics"]) == {"spectrum", "sharpness"}
    (page,) = tmp_path.glob("runs/sweep-temperature/*/report.html")
    text = page.read_text(encoding="utf-8")
    assert ": spectrum" in text and ": sharpness" in text


def test_clouds_are_let_go_on_a_path(sgdtheory: Command, tmp_path: Path) -> None:
    """A quarter of the way along the ring's path the valley still leads to the first minimum: T is measured against it."""
    assert sgdtheory("connect", "landscape=ring", "threads=1", "executor.workers=1").code == 0
    run = only(tmp_path, "runs/connect/*")
    words = (
        "sweep.learning_rate=[0.02]",
        "sweep.batch_size=[64]",
        "executor.workers=1",
        "threads=1",
        "precision=0.1",
    )
    said = sgdtheory("sweep-temperature", f"minima={run}", "at=[0.25]", *words)
    assert said.code == 0, said.err
    (cell,) = results(tmp_path)["cells"]
    value, stderr = (cell["temperature"]["excess_loss"][key] for key in ("value", "stderr"))
    assert cell["stationary"] and abs(value - cell["predicted"]) < 4 * stderr
    assert results(tmp_path)["minima"][0]["objective"] < 1e-6


def test_a_dry_run_tells_of_all_cells(sgdtheory: Command, tmp_path: Path, two_rates: Path) -> None:
    words = (*SMALL, "sweep.learning_rate=[0.1,0.2,0.4]")
    said = sgdtheory("sweep-temperature", *words, "--dry-run")
    assert said.code == 0 and "7 units: 7 to do" in said.out and "cell-0.4-16" in said.out, said
    assert not (tmp_path / "runs").exists()
    shutil.copytree(two_rates / "units", tmp_path / "runs/units")
    assert "7 units: 2 to do" in sgdtheory("sweep-temperature", *words, "--dry-run").out


def test_a_loss_without_a_minimum_is_told_before_its_cells(
    sgdtheory: Command, tmp_path: Path
) -> None:
    """λ = 0: softmax regression on separable digits has no minimum, so no temperature."""
    said = sgdtheory(
        "sweep-temperature", "landscape.weight_decay=0", "sweep.learning_rate=[0.4]", "sweep.batch_size=[16]", "steps=1000",
        "executor.workers=1", "threads=1",
    )  # fmt: skip
    assert said.code == 2 and "has no minimum here: the loss falls to 0" in said.err
    told = sgdtheory("status").out
    assert (
        "can be told apart" in told and "--retry-failed" not in told + said.err
    )  # it would be in vain
    assert not list(tmp_path.glob("runs/units/cell-*"))


def test_a_rate_that_no_network_survives_is_told_before_its_cells(sgdtheory: Command) -> None:
    found = sgdtheory(
        "sweep-temperature", "sweep.learning_rate=[5.0]", "executor.workers=1", "threads=1"
    )
    assert found.code == 2 and "sweep.learning_rate=5 has no stationary state" in found.err


@pytest.mark.parametrize("landscape", ["bowl", "examples"])
def test_a_landscape_from_outside(landscape: str, outside: Command, tmp_path: Path) -> None:  # noqa: F811
    """Noise C = 1 in five directions of curvature 1: T within 3 % without a line of ours touched."""
    words = (
        "sweep.learning_rate=[0.1,0.2]",
        "sweep.batch_size=[4,8]",
        "executor.workers=1",
        "threads=1",
    )
    said = outside("sweep-temperature", f"landscape={landscape}", *TRUST, *words)
    assert said.code == 0, said.err
    ratios = [
        cell["temperature"]["excess_loss"]["value"] / cell["predicted"]
        for cell in results(tmp_path)["cells"]
    ]
    assert abs(np.mean(ratios) - 1) < 0.03 and max(abs(np.array(ratios) - 1)) < 0.08


@pytest.mark.slow
def test_the_default(sgdtheory: Command, tmp_path: Path) -> None:
    """Softmax regression on digits."""
    assert sgdtheory("sweep-temperature").code == 0
    found = results(tmp_path)
    assert abs(found["fit"]["slope"] - 1) < 0.03
    assert sum(cell["stationary"] for cell in found["cells"]) >= 10 and len(found["cells"]) == 16


@pytest.mark.slow
def test_a_network_far_from_convex(sgdtheory: Command, tmp_path: Path) -> None:
    assert sgdtheory("sweep-temperature", "experiment=mlp_digits").code == 0
    found = results(tmp_path)
    assert abs(found["fit"]["slope"] - 1) < 0.03 and found["scatter"]["observed"] <= 0.02


@pytest.mark.slow
def test_reshuffled_noise_is_colder(sgdtheory: Command, tmp_path: Path) -> None:
    words = (
        "sampling=epoch",
        "sweep.learning_rate=[0.5]",
        "sweep.batch_size=[32]",
        "precision=0.01",
    )
    assert sgdtheory("sweep-temperature", *words).code == 0
    (cell,) = results(tmp_path)["cells"]
    ratio = cell["temperature"]["excess_loss"]["value"] / cell["predicted"]
    assert ratio < 0.8 and abs(ratio - cell["predicted_epoch"] / cell["predicted"]) < 0.1
    assert cell["fluctuation_dissipation"]["value"] < 0.9 and cell["stationary"]


@pytest.mark.slow
def test_errors_are_calibrated(sgdtheory: Command, tmp_path: Path) -> None:
    """40 cells of known temperature: 95 % intervals cover in 34–40, rms z is .8–1.25."""
    for seed in range(5):
        words = (*SMALL, "landscape.noise_anisotropy=10", f"seed={seed}", "precision=0.03")
        assert sgdtheory("sweep-temperature", *words).code == 0
    z = []
    for file in tmp_path.glob("runs/sweep-temperature/*/results.json"):
        for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
            found = cell["temperature"]["excess_loss"]
            z.append((found["value"] - cell["predicted"]) / found["stderr"])
    assert len(z) == 40
    assert sum(abs(each) < 1.96 for each in z) >= 34 and 0.8 < np.sqrt(np.mean(np.square(z))) < 1.25


@pytest.mark.slow
def test_a_network_with_batch_norm(sgdtheory: Command, tmp_path: Path) -> None:
    """|θ|⁴ and the angle of a step within 5 %; T within 15 %, or no number and why. Six minutes."""
    words = ("sweep.learning_rate=[0.5]", "executor.workers=1", "threads=1")
    assert sgdtheory("sweep-temperature", "experiment=resnet8_digits", *words).code == 0
    found = results(tmp_path)
    assert len(found["cells"]) == 2 and [row["batch_size"] for row in found["minima"]] == [16, 32]
    for cell in found["cells"]:
        told = cell["temperature"]
        assert cell["stationary"] and abs(told["norm_equilibrium"]["value"] - 1) < 0.05
        assert (
            abs(told["angular_update"]["value"] / told["angular_update_predicted"]["value"] - 1)
            < 0.05
        )
        value = told["excess_loss"]["value"]
        assert not cell["harmonic"] or value is None or abs(value / cell["predicted"] - 1) < 0.15
        assert cell["harmonic"] or cell["why"]
