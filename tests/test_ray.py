"""Ray, on a cluster of this machine: the files are those of `executor=local`, to the bit, whatever dies."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.test_cluster import HERE, QUICK, TRAIN, begin, bits, end, run, until

RAY = ("executor=ray", "run.root=ray")
pytestmark = [pytest.mark.ray, pytest.mark.slow]


def workers(where: Path) -> list[int]:
    """The processes that do units now."""
    found = []
    for file in where.glob("ray/units/*/state.safetensors"):
        status = json.loads((file.parent / "status.json").read_text(encoding="utf-8"))
        found += [status["pid"]] if status["status"] == "running" else []
    return found


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("local")
    assert run(where, *TRAIN, "run.root=local")[0] == 0
    return where / "local"


def test_three_commands_as_here(tmp_path: Path) -> None:
    sweep = ("sweep-temperature", "landscape=quadratic", "replicas=8", "sgd.steps=2000", *HERE)
    few = ("sweep.learning_rate=[0.1,0.2]", "sweep.batch_size=[8,16]")
    train = ("train", "model=mlp", "minima=3", *HERE)
    joined = ("connect", "model=mlp", *QUICK, *HERE)
    for words in (train, joined, (*sweep, *few)):
        assert run(tmp_path, *words, "run.root=local")[0] == 0
        code, said = run(tmp_path, *words, *RAY)
        assert code == 0, said
    assert bits(tmp_path / "ray") == bits(tmp_path / "local")


def test_a_killed_worker_is_replaced(local: Path, tmp_path: Path) -> None:
    command = begin(tmp_path, *TRAIN, *RAY)
    killed = until(lambda: workers(tmp_path))[0]
    os.kill(killed, signal.SIGKILL)
    code, said = end(command)
    assert code == 0, said
    assert bits(tmp_path / "ray") == bits(local)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_who_began_it_comes_back(number: int, local: Path, tmp_path: Path) -> None:
    command = begin(tmp_path, *TRAIN, *RAY)
    left = until(lambda: workers(tmp_path))
    command.send_signal(number)
    code, said = end(command)
    assert code == (-9 if number == signal.SIGKILL else 130), said
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left))
    code, said = run(tmp_path, *TRAIN, *RAY)
    assert code == 0, said
    assert bits(tmp_path / "ray") == bits(local)


def test_an_address_where_nobody_is(tmp_path: Path) -> None:
    code, said = run(tmp_path, *TRAIN, *RAY, "executor.address=127.0.0.1:1")
    assert code == 1 and "executor.address=127.0.0.1:1: " in said, said
