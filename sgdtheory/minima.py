"""Minima from earlier work: a run's own file, or checkpoints of a network; no pickle is ever executed."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sgdtheory.cloud import points_at
from sgdtheory.descend import lbfgs
from sgdtheory.faults import Failure, Mistake
from sgdtheory.folder import Folder
from sgdtheory.landscape import Cloud

PREFIXES = ("module.", "_orig_mod.")  # what DistributedDataParallel and torch.compile put before every name
POLISH = 200  # L-BFGS iterations that turn a formula's stated minima, maybe rounded, into stationary points


def minima_of(landscape: Any, paths: tuple[Path, ...] | None) -> Cloud:
    """The cloud of minima [P, n] that files hold, in their order; without files, those that the landscape states, polished.

    Raises Mistake for what cannot be points of this landscape: wrong shapes, values that are not finite, no file at all.
    """
    if paths is None:
        if not hasattr(landscape, "minima"):
            raise Mistake(
                "there is no finished train run of this landscape, and it states no minima; run `sgdtheory train` first"
            )
        return lbfgs(landscape, landscape.minima().double(), POLISH)
    rows = [_rows(path, landscape) for path in paths]
    cloud = torch.cat(rows).to(getattr(landscape, "device", "cpu"))
    for i, theta in enumerate(cloud):
        if not torch.isfinite(theta).all():
            raise Mistake(f"minima: minimum {i} holds numbers that are not finite; leave it out")
    return cloud


def points_of_paths(landscape: Any, paths: tuple[Path, ...], at: tuple[float, ...]) -> Cloud:
    """Points [P, n] at fractions `at` of the length of every path in files of a connect run, path by path."""
    found = []
    for file in paths:
        pivots = _read(file).get("path")
        if pivots is None or pivots.ndim != 2 or pivots.shape[1] != landscape.dim:
            raise Mistake(f"{file} holds no path of this landscape; at= needs minima=RUN, a connect run")
        found.append(points_at(pivots, torch.tensor(at, dtype=torch.float64)))
    return torch.cat(found)


def digest_of(theta: Tensor) -> str:
    """SHA-256 of a point's numbers: what it is known by, whatever file it came from."""
    return hashlib.sha256(theta.detach().cpu().contiguous().numpy().tobytes()).hexdigest()


def _rows(path: Path, landscape: Any) -> Cloud:
    tensors = _read(path)
    cloud = tensors.get("minima")
    if cloud is None:
        return _point(path, tensors, landscape)[None]
    if cloud.ndim != 2 or cloud.shape[1] != landscape.dim:
        raise Mistake(f"{path}: its minima have {cloud.shape[-1]:,} parameters, this landscape has {landscape.dim:,}")
    return cloud


def _read(path: Path) -> Mapping[str, Tensor]:
    """Tensors by name, of a .safetensors file or a .pt file of nothing but tensors."""
    if path.suffix == ".safetensors":
        try:
            return Folder(path.parent).read_tensors(path.name)
        except Failure as fault:
            raise Mistake(str(fault)) from None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as fault:
        said = str(fault).splitlines()[0]
        raise Mistake(f"{path} is not read: it holds more than tensors, or is damaged ({said[:80]})") from None
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise Mistake(f"{path} holds no state dict: tensors by the names of parameters")
    return found


def _point(path: Path, tensors: Mapping[str, Tensor], landscape: Any) -> Tensor:
    """The point θ [n] of a network that a state dict stands for; buffers are not looked at, they are recomputed."""
    if not hasattr(landscape, "module"):
        raise Mistake(f"{path} holds no cloud `minima` [P, n], and this landscape is no network that a state dict could fill")
    named = {_bare(name): value for name, value in tensors.items()}
    wrong, parts = [], []
    for name, parameter in landscape.module.named_parameters():
        value = named.get(name)
        if value is None:
            wrong.append(f"{name} is missing")
        elif value.shape != parameter.shape:
            wrong.append(f"{name} is {list(value.shape)} instead of {list(parameter.shape)}")
        else:
            parts.append(value.detach().reshape(-1).to(parameter.dtype))
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise Mistake(f"{path} is not of this model: {'; '.join(wrong[:3])}{more}")
    return torch.cat(parts)


def _bare(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name
