"""What a picture is drawn from, and what it is once drawn."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sgdtheory.report.figures.canvas import Drawing
from sgdtheory.report.sources import MANIFEST, manifest_for_page, source
from sgdtheory.runs.configuration import refuse_edited
from sgdtheory.runs.folder import Folder
from sgdtheory.runs.foreign import MOST_YAML, held
from sgdtheory.runs.run import demand_as_written
from sgdtheory.statistics.rows import Row, Rows

if TYPE_CHECKING:
    import numpy as np

# of which every page shows something, or says that they are damaged
SOURCES = (
    MANIFEST,
    "results.json",
    "metrics.jsonl",
    "units.json",
    "table.csv",
    "config.yaml",
)


class Figure(NamedTuple):
    """A picture with the words below it and the numbers behind it, a row a point drawn."""

    name: str  # of its files, figures/<name>.svg, .pdf and .csv: letters, digits, - and _
    title: str
    caption: str  # what it means and how to read it
    drawing: Drawing
    numbers: Rows

    @property
    def svg(self) -> str:
        """The text of its file."""
        return self.drawing.svg


@dataclass(frozen=True)
class RunData:
    """The files of one run directory as plain data. Torch is never needed to read them."""

    path: Path
    results: Row
    metrics: Rows
    units: Rows
    manifest: Row
    config: str  # the text of config.yaml
    sources: dict[str, str] = field(default_factory=dict)  # SHA-256 of each file asked for

    @classmethod
    def read(cls, path: Path) -> "RunData":
        folder = Folder(path)
        sources = {name: source(path, name) for name in SOURCES}
        demand_as_written(path, ("results.json", "metrics.jsonl", "table.csv"))
        manifest = manifest_for_page(folder)
        refuse_edited(path, manifest)
        try:
            config = held(path, "config.yaml", MOST_YAML).read_text(encoding="utf-8")
        except FileNotFoundError:
            config = ""
        return cls(
            path,
            folder.read_object("results.json"),
            folder.rows("metrics.jsonl"),
            folder.read_list("units.json"),
            manifest,
            config,
            sources,
        )

    @property
    def command(self) -> str:
        return str(self.results.get("command", self.manifest.get("command", "")))

    @property
    def is_formula(self) -> bool:
        """Whether the landscape has no examples, so that its minima have no scores."""
        return all(row.get("test_loss") is None for row in self.results.get("minima", []))

    @property
    def loss_unit(self) -> str:
        """Nats, or empty."""
        return str(self.results.get("scores", {}).get("unit", ""))

    def tensors(self, name: str) -> "dict[str, np.ndarray]":
        """The numpy arrays of a safetensors file; empty when there is no such file."""
        from safetensors.numpy import load_file

        self.sources[name] = source(self.path, name)
        try:
            return load_file(held(self.path, name))
        except FileNotFoundError:
            return {}
