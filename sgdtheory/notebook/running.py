"""A command on a landscape that no configuration names, done in this process."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from sgdtheory.commandline.on_landscape import pipeline_on
from sgdtheory.execution.executors.local import Local
from sgdtheory.execution.loop import execute
from sgdtheory.protocol import Cloud, Landscape, value_and_grad
from sgdtheory.report.progress import Watcher
from sgdtheory.rng import stream
from sgdtheory.roles.facts import constants_of, title_of
from sgdtheory.runs.plain import Json
from sgdtheory.runs.run import Run
from sgdtheory.runs.task import Settings, Task, Where
from sgdtheory.runs.tensors import packed

NOTE = "# {command}, called from Python on objects that no file names\n"
POINTS = "points.safetensors"


@contextmanager
def done(
    command: str,
    landscape: Landscape,
    points: Cloud,
    words: Sequence[str],
    run: str | Path | None,
    quiet: bool,
) -> Iterator[tuple[Run, Json]]:
    """The finished run of a command on points [P, n] of a landscape and its results: kept in the
    directory `run`, where what is done already stays, or gone after this block."""
    with TemporaryDirectory(prefix="sgdtheory-") as temporary:
        folder = Path(temporary) / "run" if run is None else Path(run)
        given = Path(temporary) / POINTS
        given.write_bytes(packed({"minima": points.detach().cpu()}, None))
        identity = fingerprint(landscape)
        pipeline, science = pipeline_on(command, landscape, identity, words, given)
        settings = Settings(Local(workers=1), where=Where(root=folder.parent, dir=folder))
        note = NOTE.format(command=command)
        task = Task(command, pipeline, settings, science, note, (), tuple(words), identity)
        results = execute(task, Watcher(0 if quiet else 1))
        yield task.open(), dict(results)


def fingerprint(landscape: Landscape) -> str:
    """What a landscape computes, as a digest: its loss and gradient at a random point in float64,
    its size and its constants. Code that computes another function has another one."""
    theta = landscape.init(1, stream(0, "fingerprint")).double()
    loss, gradient = value_and_grad(landscape, theta)
    found = hashlib.sha256(f"{title_of(landscape)} {landscape.dim}".encode())
    for tensor in (theta, loss, gradient, *constants_of(landscape).values()):
        found.update(_bytes_of(tensor))
    return found.hexdigest()


def _bytes_of(tensor: Tensor) -> bytes:
    numbers = tensor.detach().cpu()
    if numbers.dtype == torch.bfloat16:
        numbers = numbers.float()
    return bytes(numbers.contiguous().numpy())
