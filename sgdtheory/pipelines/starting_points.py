"""Points that one has: of runs, of formulas, of checkpoints; with them what belongs to a point and
is not trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.optim.descent import lbfgs
from sgdtheory.paths.polyline import points_at
from sgdtheory.pipelines.checkpoints.checkpoint import Checkpoint
from sgdtheory.pipelines.checkpoints.reading import opened
from sgdtheory.pipelines.checkpoints.state_dict import same_bits
from sgdtheory.pipelines.checkpoints.weights import (
    NARROW,
    WIDE,
    has_plain_numbers,
    kind_of,
    weights_in,
)
from sgdtheory.pipelines.digests import digest_of, digest_of_all
from sgdtheory.pipelines.minima_file import (
    CLOUD,
    are_own,
    constants_beside,
    constants_to_keep,
    statistics_beside,
    statistics_to_keep,
)
from sgdtheory.protocol import Cloud, Landscape, TensorsByName
from sgdtheory.roles.closed_forms import states_minima
from sgdtheory.roles.examples import is_network, network_of
from sgdtheory.roles.facts import constants_of, device_of
from sgdtheory.runs.folder import Json
from sgdtheory.runs.run import GIVEN_POINTS

# L-BFGS iterations that turn a formula's stated minima, maybe rounded, into stationary points
POLISH = 200


class Given(NamedTuple):
    """Points from files, in their order, with what was read beside them."""

    points: Cloud  # [P, n]
    landscape: Landscape  # the one that the points are of: with the constants that the files hold
    constants: str | None  # digest of these where they are not the landscape's own
    statistics: list[TensorsByName | None]  # of each point, its file's own of every batch norm
    sources: list[str]  # of each point: which file, and what was taken
    said: list[str]  # a line for files that were opened alike

    def identity(self, science: Mapping[str, object]) -> Json:
        """A run's identity with these points in it: the same whatever kind of file they came
        from."""
        landscape = science["landscape"]
        if self.constants is not None and isinstance(landscape, Mapping):
            landscape = {**landscape, "constants": self.constants}
        minima = [digest_of(theta) for theta in self.points]
        return {**science, "landscape": landscape, "minima": minima}

    def stored(self) -> TensorsByName:
        """What a run's file of minima holds beside them [their own shapes]."""
        return {**constants_to_keep(self.landscape), **statistics_to_keep(self.statistics)}


class _File(NamedTuple):
    """What was taken of one file."""

    path: Path
    cloud: Cloud
    constants: TensorsByName
    statistics: list[TensorsByName | None]
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
        return _stated(landscape)
    if not paths:
        raise UserError("minima=[]: an empty list names no file; give a run or files")
    files = [_read(path, landscape, how, dtype) for path in paths]
    points = torch.cat([file.cloud for file in files])
    for i, theta in enumerate(points):
        if not torch.isfinite(theta).all():
            raise UserError(f"minima: minimum {i} holds numbers that are not finite; leave it out")
    together = _together(landscape, files)
    return together._replace(points=points.to(device_of(landscape)))


def _stated(landscape: Landscape) -> Given:
    """The minima that a landscape states."""
    if not states_minima(landscape):
        raise UserError(
            "there is no finished train run of this landscape, and it states no minima; "
            "run `sgdtheory train` first"
        )
    cloud = lbfgs(landscape, landscape.minima().double(), POLISH)
    count = len(cloud)
    sources = ["stated by the landscape"] * count
    return Given(cloud, landscape, None, [None] * count, sources, [])


def given_on_paths(landscape: Landscape, paths: tuple[Path, ...], at: tuple[float, ...]) -> Given:
    """Points at fractions `at` of the length of every path in files of a connect run, path by path;
    equal ones are taken once, where they are first."""
    seen: set[str] = set()
    files = [_read_on_path(path, landscape, at, seen) for path in paths]
    together = _together(landscape, files)
    repeated = len(at) * len(paths) - len(seen)
    if not repeated:
        return together
    line = (
        f"at: {repeated} of {len(at) * len(paths)} points are others again, which are taken once "
        f"(a fraction named twice, or an end that paths share)"
    )
    return together._replace(said=[*together.said, line])


def _read_on_path(file: Path, landscape: Landscape, at: tuple[float, ...], seen: set[str]) -> _File:
    """Points of one path but those whose digests were seen, to which theirs are added."""
    content = opened(file)
    pivots = _tensor_of(content, "path")
    if pivots is None or pivots.ndim != 2 or pivots.shape[1] != landscape.dim:
        raise UserError(
            f"{file} holds no path of this landscape; at= needs minima=RUN, a connect run"
        )
    cloud = points_at(pivots, torch.tensor(at, dtype=torch.float64))
    new = []
    for i, theta in enumerate(cloud):
        digest = digest_of(theta)
        if digest not in seen:
            new.append(i)
            seen.add(digest)
    positions = ", ".join(f"{at[i]:g}" for i in new)
    said = f"points at {positions} of its length" if new else "its points are those of other paths"
    constants = constants_beside(content, landscape, str(file))
    no_statistics: list[TensorsByName | None] = [None] * len(new)
    return _File(file, cloud[new], constants, no_statistics, said)


def _together(landscape: Landscape, files: list[_File]) -> Given:
    """The points of all files, on the landscape that they share."""
    placed, digest = _with_constants(landscape, files)
    sources = []
    statistics = []
    for file in files:
        count = len(file.cloud)
        sources += [_source(file, i) for i in range(count)]
        statistics += file.statistics
    points = torch.cat([file.cloud for file in files])
    return Given(points, placed, digest, statistics, sources, _told(files))


def _with_constants(landscape: Landscape, files: list[_File]) -> tuple[Landscape, str | None]:
    """The landscape that all files are of, and the digest of its constants where they are not its
    own."""
    own = constants_of(landscape)
    first, *others = files
    constants = {**own, **first.constants}
    for file in others:
        of_file = {**own, **file.constants}
        for name, value in of_file.items():
            if not same_bits(value, constants[name]):
                raise UserError(
                    f"{name} in {file.path} is another than in {first.path}: points of one "
                    f"landscape share what is not trained; take them one at a time"
                )
    if are_own(landscape, constants):
        return landscape, None
    placed = network_of(landscape).with_constants(constants)
    return placed, digest_of_all(constants)


def _read(path: Path, landscape: Landscape, how: Checkpoint, dtype: torch.dtype) -> _File:
    """The points of one file: a cloud, or the one that a state dict stands for."""
    content = opened(path)
    cloud = _cloud_in(content, how)
    if cloud is None:
        return _read_weights(path, content, landscape, how, dtype)
    cloud = _checked(path, cloud, landscape, dtype)
    count = len(cloud)
    statistics = [statistics_beside(content, i) for i in range(count)]
    said = "a point"
    if count > 1:
        said = f"{count} points"
    constants = constants_beside(content, landscape, str(path))
    return _File(path, cloud, constants, statistics, said)


def _read_weights(
    path: Path, content: object, landscape: Landscape, how: Checkpoint, dtype: torch.dtype
) -> _File:
    if not is_network(landscape):
        raise UserError(
            f"{path} holds no cloud `minima` [P, n], and this landscape is no network that a "
            f"state dict could fill"
        )
    weights = weights_in(content, str(path), landscape, how, dtype)
    cloud = weights.theta[None]
    return _File(path, cloud, weights.constants, [weights.statistics], weights.said)


def _cloud_in(content: object, how: Checkpoint) -> Tensor | None:
    """The points that a file holds as they are: a bare tensor, or one called `minima`, or as
    `checkpoint.key` says."""
    if isinstance(content, Tensor):
        return content
    return _tensor_of(content, how.key or CLOUD)


def _tensor_of(content: object, name: str) -> Tensor | None:
    """The tensor of this name in what a file holds; None where there is none."""
    if not isinstance(content, Mapping):
        return None
    value = content.get(name)
    if isinstance(value, Tensor):
        return value
    return None


def _checked(path: Path, cloud: Tensor, landscape: Landscape, dtype: torch.dtype) -> Cloud:
    """Points [P, n] of a file, in float32 or float64; [n] is one point."""
    if not has_plain_numbers(cloud) or cloud.dtype not in (*WIDE, *NARROW):
        raise UserError(
            f"{path}: its minima are {kind_of(cloud)}; points must be float64, float32, "
            f"bfloat16 or float16"
        )
    cloud = cloud.detach()
    if cloud.ndim == 1:
        cloud = cloud[None]
    if cloud.ndim != 2 or not len(cloud):
        raise UserError(
            f"{path}: its minima are {list(cloud.shape)}, not [points, {landscape.dim:,}]"
        )
    if cloud.shape[1] != landscape.dim:
        raise UserError(
            f"{path}: its minima have {cloud.shape[-1]:,} parameters, this landscape has "
            f"{landscape.dim:,}"
        )
    if cloud.dtype in NARROW:
        return cloud.to(dtype)
    return cloud.clone()


# words


def _is_of_run(path: Path) -> bool:
    return (path.parent / "manifest.json").exists()


def _source(file: _File, i: int) -> str:
    """Of a run its name and which of its points; of another file its path and what was taken; of
    points from Python which one."""
    path = file.path
    if path.name == GIVEN_POINTS:
        return f"point {i}"
    if not _is_of_run(path):
        if len(file.cloud) == 1:
            return f"{path}: {file.said}"
        return f"{path}: point {i}"
    folder = path.parent.absolute()
    run = f"{folder.parent.name}/{folder.name}"
    if path.name == "minima.safetensors":
        return f"{run}: minimum {i}"
    return f"{run}/{path.name}: {file.said}"


def _told(files: list[_File]) -> list[str]:
    """A line for all files of which the same was taken; runs were named by the user, or are told of
    elsewhere."""
    alike: dict[str, list[str]] = {}
    for file in files:
        if not _is_of_run(file.path):
            names = alike.setdefault(file.said, [])
            names.append(str(file.path))
    lines = []
    for said, names in alike.items():
        first = ", ".join(names[:2])
        others = _others(len(names) - 2)
        lines.append(f"{first}{others}: {said}")
    return lines


def _others(count: int) -> str:
    if count <= 0:
        return ""
    if count == 1:
        return " and 1 other"
    return f" and {count} others"
