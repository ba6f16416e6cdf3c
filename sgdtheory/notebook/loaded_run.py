"""A run opened for reading: what its directory holds, as the objects the run was made of."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from sgdtheory.commandline.load import load
from sgdtheory.commandline.stored import Unnamed
from sgdtheory.errors import UserError
from sgdtheory.notebook.surroundings import left_alone
from sgdtheory.pipelines.minima_file import with_kept_constants
from sgdtheory.report.stdio import paste, pasted
from sgdtheory.roles.facts import device_of
from sgdtheory.runs.run import Run, demand_as_written

MINIMA = "minima.safetensors"
PATH = re.compile(r"paths/(\d+)-(\d+)\.safetensors")


@dataclass(frozen=True)
class LoadedRun:
    """What a finished run found. Tensors are read when asked for, and checked against the run's own
    digests."""

    run: Run
    pipeline: Any
    results: Mapping[str, Any]

    @cached_property
    def landscape(self) -> Any:
        """The landscape: `.losses(cloud)`, `.score(cloud, "test")`, `.model_at(theta)`; with the
        constants of the run."""
        found, files = self.pipeline.landscape, self.run.manifest.get("files", {})
        if MINIMA not in files or not getattr(found, "constants", {}):
            return found
        return with_kept_constants(
            found, self.run.read_tensors(MINIMA, files[MINIMA]), str(self.run.path / MINIMA)
        )

    @property
    def config(self) -> Mapping[str, Any]:
        """The resolved configuration that the run's identity is the hash of."""
        return self.run.science

    @property
    def minima(self) -> Tensor:
        """The minima [P, n], on the landscape's device."""
        return self._cloud(MINIMA, "minima")

    @property
    def paths(self) -> dict[tuple[int, int], Tensor]:
        """The paths found, each [T, n], by the pair of minima that they join."""
        found = [PATH.fullmatch(name) for name in self.run.manifest.get("files", {})]
        pairs = {(int(name[1]), int(name[2])): name[0] for name in found if name}
        return {pair: self._cloud(name, "path") for pair, name in sorted(pairs.items())}

    def _cloud(self, name: str, key: str) -> Tensor:
        files = self.run.manifest.get("files", {})
        if name not in files:
            raise UserError(f"{self.run.path} has no {name}")
        cloud: Tensor = self.run.read_tensors(name, files[name])[key]
        if isinstance(self.pipeline, _NoPipeline):
            return cloud
        return cloud.to(device_of(self.landscape))


@dataclass(frozen=True)
class _NoPipeline:
    """What stands for the objects of a run that no configuration says."""

    why: str

    @property
    def landscape(self) -> Any:
        raise UserError(self.why)


@left_alone()
def load_run(path: Path, trust: tuple[str, ...], device: str) -> LoadedRun:
    """Open a run directory; see sgdtheory.load."""
    pipeline: object
    try:
        task, run = load(path, trust, device)
        pipeline = task.pipeline
    except Unnamed as fault:
        run, pipeline = Run(path, path, path, {}), _NoPipeline(str(fault))
    demand_as_written(path, ("results.json", "metrics.jsonl", "table.csv"))
    results = run.read_object("results.json")
    if not results:
        begun = pasted(run.manifest.get("command_line"))
        go_on = begun or paste(
            ["sgdtheory", str(run.manifest["command"]), "--from", str(path / "config.yaml")]
        )
        raise UserError(f"{path} is not finished; `{go_on}` goes on with it")
    return LoadedRun(run, pipeline, results)
