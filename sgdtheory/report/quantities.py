"""What several runs have measured: a column for each quantity, and a row for each run. No torch."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sgdtheory.report.many_runs import Brief, Group, differing
from sgdtheory.statistics.rows import Row, error_of

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
    """What a claim of a command is about; a claim of the same name of another is another one."""

    command: str
    name: str

    def of(self, run: Brief) -> Row | None:
        """The claim of a run that says what it is; None where there is none."""
        return run.claims.get(self.name) if run.command == self.command else None


def quantities_of(runs: Sequence[Brief]) -> list[Quantity]:
    """Of all claims of runs, in the order in which they first appear."""
    found: dict[Quantity, None] = {}
    for run in runs:
        found |= dict.fromkeys(Quantity(run.command, name) for name in run.claims)
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
    if quantity.command == "train" and name in ("training_error", "test_error"):
        return all(error_of(run.results) == "error" for run in group.runs)
    endings = SHARES.get(quantity.command, ())
    return name.endswith(endings)


def rows_of(groups: Sequence[Group]) -> Iterator[Row]:
    """A row for each run, as --csv has it: what it is, its group, and the number of each
    quantity."""
    runs = [run for group in groups for run in group.runs]
    keys = differing(runs)
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
            for key in keys:
                row[key] = run.settings.get(key)
            yield {**row, "seconds": run.results.get("seconds")}
