"""Examples of any kind in a file of tensors."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sgdtheory.data.stored import NO_TEST, stored, tensors_of
from sgdtheory.errors import UserError

HELD = {
    "train_inputs": torch.arange(24.0).view(8, 3),
    "train_targets": torch.arange(8, dtype=torch.int32) % 3,
    "test_inputs": torch.ones(2, 3),
    "test_targets": torch.tensor([0, 1], dtype=torch.int32),
}


def saved(folder: Path, tensors: dict[str, Any]) -> Path:
    save_file(tensors, folder / "mine.safetensors")
    return folder / "mine.safetensors"


def test_what_is_held_is_read(tmp_path: Path) -> None:
    found = stored(saved(tmp_path, HELD))
    assert (found.outputs, found.count, found.told) == (3, 8, ())
    assert found.train_targets.dtype == torch.int64
    for name, value in tensors_of(found).items():
        assert torch.equal(value, HELD[name].to(value.dtype))
    alone = stored(saved(tmp_path, dict(list(HELD.items())[:2])), outputs=5, name="mine")
    assert (alone.outputs, alone.name, alone.told) == (5, "mine", (NO_TEST,))
    assert set(tensors_of(alone)) == {"train_inputs", "train_targets"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"train_targets": None}, "train_targets is missing .there are: test_inputs"),
        ({"test_inputs": None}, "test_inputs is missing"),
        ({"train_inputs": torch.full((8, 3), torch.nan)}, "8 have no finite numbers"),
        ({"train_targets": torch.zeros(7).int()}, "8 inputs but 7 targets"),
    ],
)
def test_what_is_wrong_is_refused(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    held = {name: x for name, x in (HELD | changes).items() if x is not None}
    with pytest.raises(UserError, match=says):
        stored(saved(tmp_path, held))


def test_whole_numbers_beyond_int64_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by way of a file: safetensors 0.5 has no uint64."""
    targets = torch.tensor([2**64 - 1] * 8, dtype=torch.uint64)
    held = HELD | {"train_targets": targets}
    monkeypatch.setattr("sgdtheory.data.stored.unpacked", lambda _: held)
    with pytest.raises(UserError, match="train_targets holds 18446744073709551615"):
        stored(saved(tmp_path, HELD))


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"hello world" * 9)
    with pytest.raises(UserError, match="no file of safetensors, or a damaged one"):
        stored(tmp_path / "a.safetensors")
