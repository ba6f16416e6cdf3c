"""Minima from files: other people's checkpoints, and what is wrong with them."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from sgdtheory.data.digits import digits
from sgdtheory.errors import UserError
from sgdtheory.landscapes.double_well import DoubleWell
from sgdtheory.landscapes.network import Network
from sgdtheory.models.mlp import MLP
from sgdtheory.models.resnet import ResNet
from sgdtheory.pipelines.checkpoints.checkpoint import AS_FOUND
from sgdtheory.pipelines.digests import digest_of
from sgdtheory.pipelines.starting_points import given
from sgdtheory.rng import stream

FEW = digits().first(40, 20)
NET = Network(partial(ResNet, depth=8, width=4, shortcut="conv"), FEW)
THETA = NET.init(1, stream(0, "init"))[0]


def minima_of(landscape: Any, paths: tuple[Path, ...] | None) -> Tensor:
    return given(landscape, paths, AS_FOUND, torch.float32).points


def state_dict() -> dict[str, Tensor]:
    return {
        name: value.clone().contiguous() for name, value in NET.model_at(THETA).state_dict().items()
    }


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_state_dict_is_a_point(tmp_path: Path, prefix: str, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    named = {prefix + name: value for name, value in state_dict().items()}
    if suffix == ".pt":
        torch.save({"epoch": 3, "state_dict": named}, path)
    else:
        save_file(named, path)
    assert torch.equal(minima_of(NET, (path,)), THETA[None])


def test_a_runs_file_holds_a_cloud(tmp_path: Path) -> None:
    cloud = NET.init(3, stream(1, "init"))
    save_file({"minima": cloud}, tmp_path / "minima.safetensors")
    assert torch.equal(minima_of(NET, (tmp_path / "minima.safetensors",)), cloud)
    assert digest_of(cloud[0]) == digest_of(cloud[0].clone()) != digest_of(cloud[1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_points_of_few_bits_are_computed_in_many(tmp_path: Path, dtype: torch.dtype) -> None:
    torch.save({"minima": THETA.to(dtype)}, tmp_path / "a.pt")
    found = minima_of(NET, (tmp_path / "a.pt",))
    assert found.dtype == torch.float32 and torch.equal(found[0], THETA.to(dtype).float())
    assert digest_of(THETA.to(dtype)) != digest_of(found)  # of any dtype


def test_without_files_a_formula_states_its_own() -> None:
    assert torch.allclose(
        minima_of(DoubleWell(), None).abs(), torch.ones(2, 1, dtype=torch.float64)
    )


class Code:
    """What a hostile pickle does when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("/tmp/sgdtheory-was-executed"),))  # type: ignore[return-value]


def test_a_checkpoint_that_carries_code_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": Code()}, tmp_path / "evil.pt")
    with pytest.raises(UserError, match="holds more than tensors"):
        minima_of(NET, (tmp_path / "evil.pt",))
    assert not Path("/tmp/sgdtheory-was-executed").exists()


def test_wrong_shapes_are_told_parameter_by_parameter(tmp_path: Path) -> None:
    wrong = state_dict()
    first, second, third = list(dict(NET.module.named_parameters()))[:3]
    wrong[first] = torch.zeros(2, 2)
    del wrong[second]
    save_file(wrong, tmp_path / "wrong.safetensors")
    with pytest.raises(UserError) as told:
        minima_of(NET, (tmp_path / "wrong.safetensors",))
    assert f"{first} is [2, 2] instead of" in str(told.value) and f"{second} is missing" in str(
        told.value
    )
    assert third not in str(told.value)


@pytest.mark.parametrize(
    "what", ["another architecture", "not a number", "truncated", "no tensors", "another cloud"]
)
def test_what_is_no_point_of_this_landscape_is_a_mistake(tmp_path: Path, what: str) -> None:
    path = tmp_path / "bad.safetensors"
    if what == "another architecture":
        save_file({n: p.detach().clone() for n, p in MLP(FEW.shape, 10).named_parameters()}, path)
    elif what == "not a number":
        save_file({"minima": torch.full((2, NET.dim), float("nan"))}, path)
    elif what == "truncated":
        save_file(state_dict(), path)
        path.write_bytes(path.read_bytes()[:-100])
    elif what == "another cloud":
        save_file({"minima": torch.zeros(2, 7)}, path)
    else:
        path = tmp_path / "bad.pt"
        torch.save([1, 2, 3], path)
    with pytest.raises(UserError) as told:
        minima_of(NET, (path,))
    assert len(str(told.value).splitlines()) == 1
