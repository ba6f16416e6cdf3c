"""Calls from Python as guests of a process: what they leave as it was, and the runs that they know
again."""

import os
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import sgdtheory
from sgdtheory.errors import UserError
from sgdtheory.landscapes.network import Network
from sgdtheory.notebook.running import fingerprint
from sgdtheory.notebook.surroundings import left_alone
from sgdtheory.rng import stream

DRAWS = stream(0, "guest")
X, Y = torch.randn(40, 5, generator=DRAWS), torch.arange(40) % 3
OTHER = torch.randn(40, 5, generator=DRAWS)
LAYERS = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))


def of(test: tuple[Tensor, Tensor] | None, **how: object) -> Network:
    return sgdtheory.landscape(LAYERS, (X, Y), test, **how)  # type: ignore[arg-type]


def unnamed(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs, targets, reduction="none")


def test_all_that_decides_a_number_is_in_what_a_landscape_is_known_by() -> None:
    turned = Y.flip(0)
    frozen = nn.Sequential(*LAYERS)
    with_buffer = nn.Sequential(*LAYERS)
    with_buffer.register_buffer("unused", torch.ones(2))
    found = {
        "as it is": of((OTHER, Y)),
        "other test inputs": of((OTHER + 1, Y)),
        "one other test input": of((torch.cat([OTHER[:-1], X[-1:]]), Y)),
        "other test targets": of((OTHER, turned)),
        "fewer of them": of((OTHER[:30], Y[:30])),
        "no test set": of(None),
        "the training set as one": of((X, Y)),
        "other training targets": sgdtheory.landscape(frozen, (X, turned), (OTHER, Y)),
        "another penalty": of((OTHER, Y), weight_decay=0.01),
        "other parameters": of((OTHER, Y), parameters=".*weight"),
        "another loss": of((OTHER, Y), loss=unnamed),
        "a buffer": sgdtheory.landscape(with_buffer, (X, Y), (OTHER, Y)),
    }
    digests = {name: fingerprint(landscape) for name, landscape in found.items()}
    assert len(set(digests.values())) == len(digests)
    assert fingerprint(of((OTHER.clone(), Y.clone()))) == digests["as it is"]


def test_a_run_on_another_test_set_is_another_run(tmp_path: Path) -> None:
    run = tmp_path / "own"
    first = sgdtheory.diagnose(of((OTHER, Y)), [LAYERS], run=run)
    again = sgdtheory.diagnose(of((OTHER, Y)), [LAYERS], run=run)
    assert again["test_loss"].to_list() == first["test_loss"].to_list()
    with pytest.raises(UserError, match="the data of its landscape have been changed"):
        sgdtheory.diagnose(of((OTHER * 9, Y)), [LAYERS], run=run)


def test_a_run_is_known_again_with_another_number_of_threads(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            sgdtheory.diagnose(of(None), [LAYERS], run=tmp_path / "own")
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)


def test_a_call_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    filters, environment = list(warnings.filters), dict(os.environ)
    sgdtheory.diagnose(of(None), [LAYERS], run=tmp_path / "own")
    sgdtheory.load(tmp_path / "own")
    sgdtheory.table(tmp_path / "own")
    assert list(warnings.filters) == filters and dict(os.environ) == environment


def test_what_a_block_sets_is_put_back_where_it_fails_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGDTHEORY_TEST_KEPT", "1")
    filters, threads = list(warnings.filters), torch.get_num_threads()

    def moved() -> None:
        warnings.simplefilter("ignore")
        torch.set_num_threads(threads + 1)
        os.environ["SGDTHEORY_TEST_NEW"] = "1"
        os.environ["SGDTHEORY_TEST_KEPT"] = "2"
        raise UserError("it fails")

    with pytest.raises(UserError, match="it fails"), left_alone():
        moved()
    assert list(warnings.filters) == filters and torch.get_num_threads() == threads
    assert os.environ["SGDTHEORY_TEST_KEPT"] == "1" and "SGDTHEORY_TEST_NEW" not in os.environ
