"""`make gpu` goes its whole way on a device that is not the CPU."""

import sys
from pathlib import Path

import pytest
import torch

from sgdtheory.commandline import task as tasks
from sgdtheory.landscapes import network
from sgdtheory.landscapes.precision import mixed
from tests.conftest import call
from tests.second_device import DEVICE, OnSecondDevice

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import bench
import gpu


def in_this_process(name: str, *words: str, run: Path) -> float:
    """A command of the script, where the pretended device is."""
    place = [f"run.dir={run}", f"run.root={run.parent}", "executor.workers=1", "threads=1"]
    device = [] if any(word.startswith("device=") for word in words) else [f"device={DEVICE}"]
    said = call(name, *words, *place, *device, "--quiet")
    assert said.code == 0, said.err
    return 0.0


@pytest.mark.slow
def test_it_goes_through_on_the_second_device(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (bench, gpu):
        monkeypatch.setattr(module, "DEVICE", DEVICE)
    monkeypatch.setattr(tasks, "resolve_device", lambda name, *_: name)
    monkeypatch.setattr(gpu, "command", in_this_process)
    here = torch.device("cpu")  # autocast knows no pretended device
    monkeypatch.setattr(network, "mixed", lambda losses, _: mixed(losses, here))
    with OnSecondDevice():
        rows = gpu.walk(gpu.SMALL, None, check=True)
    found = {row.what: row.value for row in rows}
    assert "connect, barrier" in found and "grid of temperatures" in found
    assert found["default sweep, T here against the CPU's"] == 0.0  # to the bit
