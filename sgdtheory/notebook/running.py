"""A command on a landscape that no configuration names, done in this process."""

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from sgdtheory.commandline.on_landscape import OnLandscape, task_named
from sgdtheory.commandline.stored import FROM_PYTHON
from sgdtheory.data.stored import tensors_of
from sgdtheory.errors import UserError
from sgdtheory.execution.identity import refuse_another
from sgdtheory.execution.loop import execute
from sgdtheory.execution.machine import prepare_process
from sgdtheory.landscapes.network import Network
from sgdtheory.notebook.naming import ADVICE, Named
from sgdtheory.notebook.own_landscape import OwnNetwork
from sgdtheory.pipelines.minima_file import constants_to_keep
from sgdtheory.protocol import Cloud, Landscape, value_and_grad
from sgdtheory.report.progress import Watcher
from sgdtheory.rng import stream
from sgdtheory.roles.facts import (
    augmentation_of,
    constants_of,
    shapes_of,
    title_of,
    unit_of_loss,
    weight_decay_of,
)
from sgdtheory.runs.plain import Json
from sgdtheory.runs.run import EXAMPLES, GIVEN_POINTS, Run
from sgdtheory.runs.task import Task, Where
from sgdtheory.runs.tensors import packed
from sgdtheory.runs.writing import replace_file


@contextmanager
def done(
    command: str,
    landscape: Landscape,
    points: Cloud,
    words: Sequence[str],
    run: str | Path | None,
    quiet: bool | None,
) -> Iterator[tuple[Run, Json]]:
    """The finished run of a command on points [P, n] of a landscape and its results: kept in the
    directory `run`, where what is done already stays, or gone after this block.

    `quiet` None: progress is told where somebody looks on.

    A run that is kept is as by a command where a configuration can say its landscape; where none
    can, its config.yaml says why.
    """
    if not isinstance(run, str | os.PathLike | None):
        raise UserError(f"run: {run!r} is no directory; give a path, or None")
    with TemporaryDirectory(prefix="sgdtheory-") as temporary:
        given = Path(temporary) / GIVEN_POINTS
        cloud = {"minima": points.detach().cpu()}
        given.write_bytes(packed({**cloud, **constants_to_keep(landscape)}, None))
        task: Task | str = "nothing was kept"
        if run is not None:
            task = _named(command, landscape, points, words, Path(run), given)
        if isinstance(task, str):
            folder = Path(temporary) / "run" if run is None else Path(run)
            given.write_bytes(packed(cloud, None))
            task = _unnamed(command, landscape, words, folder, given, task)
        is_quiet = not _is_looked_on() if quiet is None else quiet
        results = execute(task, Watcher(0 if is_quiet else 1))
        yield task.open(), dict(results)


def _is_looked_on() -> bool:
    """Whether somebody sees progress: at a terminal, or in a notebook."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    return is_terminal or "ipykernel" in sys.modules


def _unnamed(
    command: str, landscape: Landscape, words: Sequence[str], folder: Path, given: Path, why: str
) -> Task:
    """The task on a landscape that no configuration says, known by what it computes."""
    meant = OnLandscape(command, words)
    settings = replace(meant.settings, where=Where(root=folder.parent, dir=folder))
    prepare_process(settings, 1)  # sums depend on the number of threads in their last bits
    identity = fingerprint(landscape)
    pipeline, science = meant.pipeline(landscape, identity, given)
    note = FROM_PYTHON.format(command=command, why=why)
    return Task(command, pipeline, settings, science, note, (), tuple(words), identity)


def _named(
    command: str,
    landscape: Landscape,
    points: Cloud,
    words: Sequence[str],
    folder: Path,
    given: Path,
) -> Task | str:
    """The task as a command would have it, its examples and points beside it; or why there is
    none."""
    if not isinstance(landscape, OwnNetwork):
        return "it is no landscape that sgdtheory.landscape made"
    naming = landscape.naming
    if isinstance(naming, str):
        return naming
    content = packed(tensors_of(landscape.data))
    aside = given.with_name(EXAMPLES)
    aside.write_bytes(content)
    keys = {
        **naming.keys,
        "data.path": str(aside),
        "data.name": landscape.data.name,
        "data.outputs": landscape.data.outputs,
        "device": str(landscape.device),
        "run.root": str(folder.parent),
        "run.dir": str(folder),
        "minima": [str(given)],
    }
    said = [*naming.choices, *words]
    try:
        task = task_named(command, said, keys, naming.trust)
    except UserError as fault:
        line = str(fault).splitlines()[0]
        return line if line.startswith("--trust") else _another(naming)
    if not _is_same(landscape, getattr(task.pipeline, "landscape", None), points):
        return _another(naming)
    refuse_another(task.open(), task)
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / EXAMPLES, content)
    replace_file(folder / GIVEN_POINTS, given.read_bytes())
    keys["data.path"], keys["minima"] = str(folder / EXAMPLES), [str(folder / GIVEN_POINTS)]
    return task_named(command, said, keys, naming.trust)


def _another(naming: Named) -> str:
    return f"{naming.keys['model.factory']} by itself makes another network; {ADVICE}"


def _is_same(landscape: Network, other: object, points: Cloud) -> bool:
    """Whether another landscape has the same loss and gradient, to the bit, at the first of points
    [P, n]."""
    if not isinstance(other, Network) or other.dim != landscape.dim:
        return False
    theta = points[:1].double()
    pairs = zip(value_and_grad(landscape, theta), value_and_grad(other, theta), strict=True)
    return all(torch.equal(one, two) for one, two in pairs)


def fingerprint(landscape: Landscape) -> str:
    """What a landscape computes, as a digest: its size, the facts that it states, its examples, its
    constants, its loss and gradient at a random point in float64, and there, of a network, the loss
    and error of each test example. Code that computes another function has another one."""
    theta = landscape.init(1, stream(0, "fingerprint")).double()
    loss, gradient = value_and_grad(landscape, theta)
    found = hashlib.sha256()
    tensors = {"theta": theta, "loss": loss, "gradient": gradient, **constants_of(landscape)}
    facts: list[object] = [title_of(landscape), landscape.dim, shapes_of(landscape)]
    facts += [weight_decay_of(landscape), augmentation_of(landscape), unit_of_loss(landscape)]
    if isinstance(landscape, Network):
        data = landscape.data
        facts += [landscape.decay, landscape.precision, type(landscape.loss).__qualname__]
        facts += [data.outputs, data.told]
        tensors |= tensors_of(data)
        test = landscape.score(theta, "test")
        tensors |= {"test losses": test.losses, "test errors": test.errors}
    found.update(repr(facts).encode())
    for name, tensor in tensors.items():
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)} ".encode())
        found.update(_bytes_of(tensor))
    return found.hexdigest()


def _bytes_of(tensor: Tensor) -> bytes:
    numbers = tensor.detach().cpu()
    if numbers.dtype == torch.bfloat16:
        numbers = numbers.float()
    return bytes(numbers.contiguous().numpy())
