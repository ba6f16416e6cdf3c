"""What several runs have measured: a column for each quantity, and a row for each run. No torch."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sgdtheory.report.configurations import differing_themselves, written
from sgdtheory.report.figures.table import claimed
from sgdtheory.report.many_runs import Brief, Group
from sgdtheory.statistics.rows import Row, error_of

# what a claim of a command has measured, where its name is that of what it says of it
NAMES: Mapping[tuple[str, str], str] = {
    ("train", "training_error"): "largest_training_error",
    ("train", "test_error"): "mean_test_error",
    ("train", "training_loss"): "largest_training_loss",
    ("train", "stationary"): "largest_gradient_norm",
    ("connect", "connected"): "barrier",
    ("connect", "test_error"): "test_error_above_the_ends",
    ("diagnose", "points"): "largest_gradient_norm",
}
LOSSES = ("barrier", "largest_training_loss")  # measured in the unit of the loss
ERRORS = ("largest_training_error", "mean_test_error")
# claims of studies whose numbers are shares: how their names end
SHARES: Mapping[str, tuple[str, ...]] = {
    "study autoneb_reliability": ("joined", "evaluated"),
    "study instability": ("stable",),
    "study one_point_convexity": ("",),  # all of them
    "study saddles": ("index", "searches"),
    "study smoothing": ("sgd", "sgd_of_little_noise", "gradient_descent"),
}
FACTS = ("run", "command", "group", "seed", "holds", "seconds")  # columns of a run besides


class Quantity(NamedTuple):
    """What a claim of a command has measured; a claim of the same name of another is another
    one."""

    command: str
    name: str

    @classmethod
    def claimed(cls, command: str, claim: str) -> "Quantity":
        """Of a claim by its name in results.json."""
        return cls(command, NAMES.get((command, claim), claim))

    def of(self, run: Brief) -> Row | None:
        """The claim of a run that says what it is; None where there is none."""
        for name, claim in run.claims.items():
            if Quantity.claimed(run.command, name) == self:
                return claim
        return None

    def unit(self, run: Brief) -> str:
        """What a run has measured it in; empty for pure numbers, and errors, which are
        fractions."""
        scores = run.results.get("scores") or {}
        return str(scores.get("unit") or "") if self.name in LOSSES else ""

    def told(self, value: float | None, stderr: float | None, unit: str) -> str:
        """A value for people, with its unit."""
        text = claimed({"name": self.name, "value": value, "stderr": stderr})
        return f"{text} {unit}" if unit and value is not None else text


def quantities_of(runs: Sequence[Brief]) -> list[Quantity]:
    """Of all claims of runs, in the order in which they first appear."""
    found: dict[Quantity, None] = {}
    for run in runs:
        found |= dict.fromkeys(Quantity.claimed(run.command, name) for name in run.claims)
    return list(found)


def labels_of(quantities: Sequence[Quantity], taken: Sequence[str] = ()) -> Mapping[Quantity, str]:
    """What each is called: by its claim, and by its command where another one, or one of the names
    that are `taken`, is called the same."""
    counted = Counter(quantity.name for quantity in quantities)
    labels = {}
    for quantity in quantities:
        name = quantity.name
        is_alone = counted[name] == 1 and name not in taken
        label = name
        if not is_alone:
            label = f"{quantity.command} {name}"
        labels[quantity] = label
    return labels


def over(group: Group, quantity: Quantity) -> list[float]:
    """The values of a quantity over the runs of a group that have one."""
    values = []
    for run in with_number(group, quantity):
        number = quantity.of(run) or {}
        values.append(float(number["value"]))
    return values


def with_number(group: Group, quantity: Quantity) -> list[Brief]:
    """The runs of a group that have a value of a quantity."""
    runs = []
    for run in group.runs:
        number = quantity.of(run) or {}
        if number.get("value") is not None:
            runs.append(run)
    return runs


def is_share(group: Group, quantity: Quantity) -> bool:
    """Whether a quantity is a share by what it is, within 0 and 1: an error is where it counts
    examples, and not a 1 − R²; that of connect is a rise."""
    name = quantity.name
    if quantity.command == "train" and name in ERRORS:
        return all(error_of(run.results) == "error" for run in group.runs)
    endings = SHARES.get(quantity.command, ())
    return name.endswith(endings)


def rows_of(groups: Sequence[Group]) -> Iterator[Row]:
    """A row for each run, as --csv has it: what it is, its group, and the number of each
    quantity."""
    runs = [run for group in groups for run in group.runs]
    keys = differing_themselves([run.settings for run in runs])
    labels = labels_of(quantities_of(runs), (*FACTS, *keys))
    for group in groups:
        for run in group.runs:
            row: Row = {
                "run": str(run.path),
                "command": run.command,
                "group": group.name,
                "seed": run.seed,
                "holds": (run.headline or {}).get("holds"),
            }
            for quantity, label in labels.items():
                claim = quantity.of(run) or {}
                row[label] = claim.get("value")
                row[f"{label}_stderr"] = claim.get("stderr")
                if quantity.name in LOSSES:
                    row[f"{label}_unit"] = quantity.unit(run) if claim else None
            for key in keys:
                row[key] = _in_a_cell(run.settings.values.get(key))
            yield {**row, "seconds": run.results.get("seconds")}


def _in_a_cell(value: object) -> object:
    """A setting for a table: a list in one way, whatever is in it."""
    return written(value) if isinstance(value, list) else value
