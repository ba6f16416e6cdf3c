"""Points that one has: of runs, of formulas, of checkpoints; with them what belongs to a point and
is not trained."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.optim.descent import lbfgs
from sgdtheory.paths.polyline import points_at
from sgdtheory.pipelines.checkpoints import (
    NARROW,
    WIDE,
    Checkpoint,
    as_constant,
    opened,
    same_bits,
    weights_in,
)
from sgdtheory.roles import constants_of, device_of, is_network, network_of, states_minima

# L-BFGS iterations that turn a formula's stated minima, maybe rounded, into stationary points
POLISH = 200
# names in a run's file of minima
CLOUD, CONSTANT, STATISTIC = (
    "minima",
    "constants.",
    "statistics.",
)
STARTS = "starts"  # there, of a sweep: the points that it was given
NO_STATISTICS = "the file holds no statistics of all batch norms"


class Given(NamedTuple):
    """Points from files, in their order, with what was read beside them."""

    points: Cloud  # [P, n]
    landscape: Landscape  # the one that the points are of: with the constants that the files hold
    constants: str | None  # digest of these where they are not the landscape's own
    statistics: list[dict[str, Tensor] | None]  # of each point, its file's own of every batch norm
    sources: list[str]  # of each point: which file, and what was taken
    said: list[str]  # a line for files that were opened alike

    def identity(self, science: Mapping[str, Any]) -> dict[str, Any]:
        """A run's identity with these points in it: the same whatever kind of file they came
        from."""
        landscape = science["landscape"]
        if self.constants is not None:
            landscape = {**landscape, "constants": self.constants}
        return {
            **science,
            "landscape": landscape,
            "minima": [digest_of(theta) for theta in self.points],
        }

    def stored(self) -> dict[str, Tensor]:
        """What a run's file of minima holds beside them."""
        kept = {
            f"{STATISTIC}{i}.{name}": x
            for i, found in enumerate(self.statistics)
            for name, x in (found or {}).items()
        }
        return {**constants_to_keep(self.landscape), **kept}


class _File(NamedTuple):
    """One file's part."""

    cloud: Cloud
    constants: dict[str, Tensor]
    statistics: list[dict[str, Tensor] | None]
    said: str


def given(
    landscape: Landscape, paths: tuple[Path, ...] | None, how: Checkpoint, dtype: torch.dtype
) -> Given:
    """The points that files hold; without files, those that the landscape states, polished. Weights
    become `dtype`; the clouds of runs stay float64 where they are.

    Raises UserError for what cannot be points of this landscape, and where files differ in what is
    not trained.
    """
    if paths is None:
        if not states_minima(landscape):
            raise UserError(
                "there is no finished train run of this landscape, and it states no minima; "
                "run `sgdtheory train` first"
            )
        cloud = lbfgs(landscape, landscape.minima().double(), POLISH)
        return Given(
            cloud,
            landscape,
            None,
            [None] * len(cloud),
            ["stated by the landscape"] * len(cloud),
            [],
        )
    if not paths:
        raise UserError("minima=[]: an empty list names no file; give a run or files")
    files = [_read(path, landscape, how, dtype) for path in paths]
    cloud = torch.cat([file.cloud for file in files]).to(device_of(landscape))
    for i, theta in enumerate(cloud):
        if not torch.isfinite(theta).all():
            raise UserError(f"minima: minimum {i} holds numbers that are not finite; leave it out")
    placed, digest = _with_constants(landscape, paths, files)
    sources = [
        _source(path, file, i)
        for path, file in zip(paths, files, strict=True)
        for i in range(len(file.cloud))
    ]
    return Given(
        cloud,
        placed,
        digest,
        [x for file in files for x in file.statistics],
        sources,
        _told(paths, files),
    )


def given_on_paths(landscape: Landscape, paths: tuple[Path, ...], at: tuple[float, ...]) -> Given:
    """Points at fractions `at` of the length of every path in files of a connect run, path by
    path."""
    files = []
    for file in paths:
        tensors = opened(file)
        pivots = tensors.get("path") if isinstance(tensors, Mapping) else None
        if pivots is None or pivots.ndim != 2 or pivots.shape[1] != landscape.dim:
            raise UserError(
                f"{file} holds no path of this landscape; at= needs minima=RUN, a connect run"
            )
        found = points_at(pivots, torch.tensor(at, dtype=torch.float64))
        said = f"points at {', '.join(f'{t:g}' for t in at)} of its length"
        files.append(
            _File(
                found, _constants_beside(tensors, landscape, str(file)), [None] * len(found), said
            )
        )
    cloud = torch.cat([file.cloud for file in files])
    placed, digest = _with_constants(landscape, paths, files)
    sources = [
        _source(path, file, i)
        for path, file in zip(paths, files, strict=True)
        for i in range(len(file.cloud))
    ]
    return Given(cloud, placed, digest, [None] * len(cloud), sources, _told(paths, files))


def digest_of(theta: Tensor) -> str:
    """SHA-256 of a tensor's numbers: what a point is known by, whatever file it came from."""
    return hashlib.sha256(
        theta.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    ).hexdigest()


def digest_of_all(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of tensors by name."""
    found = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)} {digest_of(value)}\n".encode())
    return found.hexdigest()


def constants_to_keep(landscape: Landscape) -> dict[str, Tensor]:
    """What a landscape computes with and does not train, by the names it has in a run's file of
    minima; 16-bit numbers as float32, which numpy reads too."""
    own = constants_of(landscape)
    return {f"{CONSTANT}{name}": x.float() if x.dtype in NARROW else x for name, x in own.items()}


def with_kept_constants(landscape: Landscape, tensors: Mapping[str, Tensor], where: str) -> Any:
    """The landscape with the constants that a run's file of minima holds."""
    found = _constants_beside(tensors, landscape, where)
    if _are_own(landscape, found):
        return landscape
    network = network_of(landscape)
    return network.with_constants({**network.constants, **found})


def _are_own(landscape: Landscape, found: Mapping[str, Tensor]) -> bool:
    own = constants_of(landscape)
    return all(same_bits(value, own[name]) for name, value in found.items())


def _with_constants(
    landscape: Landscape, paths: tuple[Path, ...], files: list[_File]
) -> tuple[Any, str | None]:
    """The landscape that all files are of, and the digest of its constants where they are not its
    own."""
    own = constants_of(landscape)
    every = [{**own, **file.constants} for file in files]
    for path, each in zip(paths, every, strict=True):
        for name, value in each.items():
            if not same_bits(value, every[0][name]):
                shared = (
                    "points of one landscape share what is not trained; take them one at a time"
                )
                raise UserError(f"{name} in {path} is another than in {paths[0]}: {shared}")
    if _are_own(landscape, every[0]):
        return landscape, None
    return network_of(landscape).with_constants(every[0]), digest_of_all(every[0])


def _read(path: Path, landscape: Landscape, how: Checkpoint, dtype: torch.dtype) -> _File:
    thing = opened(path)
    cloud = _cloud_in(thing, how, landscape)
    if cloud is not None:
        cloud = _checked(path, cloud, landscape, dtype)
        tensors = thing if isinstance(thing, Mapping) else {}
        statistics = [_statistics_beside(tensors, i) for i in range(len(cloud))]
        count = f"{len(cloud)} points" if len(cloud) > 1 else "a point"
        return _File(cloud, _constants_beside(tensors, landscape, str(path)), statistics, count)
    if not is_network(landscape):
        raise UserError(
            f"{path} holds no cloud `minima` [P, n], and this landscape is no network that a "
            f"state dict could fill"
        )
    found = weights_in(thing, str(path), landscape, how, dtype)
    return _File(found.theta[None], found.constants, [found.statistics], found.said)


def _cloud_in(thing: Any, how: Checkpoint, landscape: Landscape) -> Tensor | None:
    """The points that a file holds as they are: a bare tensor, or one called `minima`, or as
    `checkpoint.key` says."""
    if isinstance(thing, Tensor):
        return thing
    found = thing.get(how.key or CLOUD) if isinstance(thing, Mapping) else None
    return found if isinstance(found, Tensor) else None


def _checked(path: Path, cloud: Tensor, landscape: Landscape, dtype: torch.dtype) -> Cloud:
    """Points [P, n] of a file, in float32 or float64; [n] is one point."""
    if (
        cloud.layout != torch.strided
        or cloud.is_quantized
        or cloud.is_meta
        or cloud.dtype not in (*WIDE, *NARROW)
    ):
        kind = (
            "sparse"
            if cloud.layout != torch.strided
            else "meta"
            if cloud.is_meta
            else str(cloud.dtype).split(".")[-1]
        )
        raise UserError(
            f"{path}: its minima are {kind}; points must be float64, float32, bfloat16 or float16"
        )
    cloud = cloud.detach()[None] if cloud.ndim == 1 else cloud.detach()
    if cloud.ndim != 2 or not len(cloud):
        raise UserError(
            f"{path}: its minima are {list(cloud.shape)}, not [points, {landscape.dim:,}]"
        )
    if cloud.shape[1] != landscape.dim:
        raise UserError(
            f"{path}: its minima have {cloud.shape[-1]:,} parameters, this landscape has "
            f"{landscape.dim:,}"
        )
    return cloud.to(dtype) if cloud.dtype in NARROW else cloud.clone()


def _constants_beside(
    tensors: Mapping[str, Any], landscape: Landscape, where: str
) -> dict[str, Tensor]:
    own = constants_of(landscape)
    kept = {
        name.removeprefix(CONSTANT): value
        for name, value in tensors.items()
        if str(name).startswith(CONSTANT)
    }
    if strange := sorted(set(kept) - set(own)):
        raise UserError(
            f"{where} is not of this model: it has {', '.join(strange[:3])}, which is not "
            f"trained there"
        )
    return {name: as_constant(name, value, own[name], where) for name, value in kept.items()}


def _statistics_beside(tensors: Mapping[str, Any], point: int) -> dict[str, Tensor] | None:
    prefix = f"{STATISTIC}{point}."
    found = {
        name.removeprefix(prefix): x.clone()
        for name, x in tensors.items()
        if str(name).startswith(prefix)
    }
    return found or None


def _source(path: Path, file: _File, i: int) -> str:
    """Of a run its name and which of its points; of another file its path and what was taken."""
    if (path.parent / "manifest.json").exists():
        run = f"{path.parent.parent.name}/{path.parent.name}"
        return (
            f"{run}: minimum {i}"
            if path.name == "minima.safetensors"
            else f"{run}/{path.name}: {file.said}"
        )
    return f"{path}: {file.said}" if len(file.cloud) == 1 else f"{path}: point {i}"


def _told(paths: tuple[Path, ...], files: list[_File]) -> list[str]:
    """A line for all files of which the same was taken; runs were named by the user, or are told of
    elsewhere."""
    alike: dict[str, list[Path]] = {}
    for path, file in zip(paths, files, strict=True):
        if (path.parent / "manifest.json").exists():
            continue
        alike.setdefault(file.said, []).append(path)
    return [
        f"{', '.join(map(str, found[:2]))}{_others(len(found) - 2)}: {said}"
        for said, found in alike.items()
    ]


def _others(count: int) -> str:
    return "" if count <= 0 else f" and {count} other{'s' if count > 1 else ''}"
