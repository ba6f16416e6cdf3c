"""Several runs on one page: groups with means over seeds, what each run says, and where their
configurations differ. No torch."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import NamedTuple

from sgdtheory.report.configurations import stated
from sgdtheory.report.facts import link_to
from sgdtheory.report.figures.table import Table, Text, csv_text
from sgdtheory.report.many_runs import (
    Brief,
    Group,
    briefs_of,
    by_command,
    edges_connected,
    groups_of,
    shared_words,
)
from sgdtheory.report.page import draw
from sgdtheory.report.places import home_of
from sgdtheory.report.quantities import Quantity, labels_of, over, quantities_of, rows_of
from sgdtheory.report.rendering import rendered
from sgdtheory.report.stdio import say, tell
from sgdtheory.report.summaries import summaries_of, summaries_table
from sgdtheory.report.terminal import print_prose, print_table
from sgdtheory.runs.folder import Folder
from sgdtheory.statistics.over_seeds import over_seeds
from sgdtheory.statistics.rows import Row, Rows

MOST_TOLD = 2  # claims in 80 columns
FEW = 5  # things that stand side by side
MOST_DRAWN = 20  # runs whose missing pages are drawn for the links to them


class Compared(NamedTuple):
    """One run on a page of several."""

    name: str
    link: str
    command: str
    group: str
    headline: Row | None
    seed: str
    numbers: list[str]  # the value of each quantity, in the page's order


class Gathered(NamedTuple):
    """The runs of a page in groups, and what is to be said of those that are left out."""

    groups: Sequence[Group]
    remarks: Sequence[str]

    @property
    def runs(self) -> list[Brief]:
        """Of all groups, one group after the other."""
        runs = []
        for group in self.groups:
            runs += group.runs
        return runs


def compare(paths: Sequence[Path], out: Path | None) -> Path:
    """One page for several runs, and its tables beside it; gives the path of the page."""
    return _page(_gathered(paths), out)


def _gathered(paths: Sequence[Path]) -> Gathered:
    """The runs in groups; what is said of them stands on stderr too."""
    runs, remarks = briefs_of(paths)
    groups = groups_of(runs)
    for group in groups:
        remarks += group.remarks
    for remark in remarks:
        say(remark)
    return Gathered(groups, remarks)


def _page(gathered: Gathered, out: Path | None) -> Path:
    groups, remarks = gathered
    runs = gathered.runs
    out = out or home_of(runs)
    quantities = quantities_of(runs)
    many = len(groups) < len(runs)
    summaries: Rows = []
    means = None
    compared: Sequence[Group] = [Group(run.path.name, [run]) for run in runs]
    if many:
        summaries = list(summaries_of(groups))
        means = means_table(groups, quantities)
        compared = groups
    folder = Folder(out.parent)
    folder.write_text(f"{out.stem}.csv", csv_text(list(rows_of(groups))))
    if summaries:
        folder.write_text(f"{out.stem}-groups.csv", csv_text(summaries))
    page = rendered(
        "compare.html.j2",
        shared=_shared(runs),
        runs=list(_compared(groups, out, quantities)),
        claims=_titles(quantities),
        groups=groups if many else [],
        means=means,
        summaries=summaries_table(summaries) if many else None,
        differences=_differences(compared),
        commands=len(by_command(runs)),
        remarks=remarks,
        table=f"{out.stem}.csv",
        table_of_groups=f"{out.stem}-groups.csv" if summaries else None,
    )
    folder.write_text(out.name, page)
    return out


def _shared(runs: Sequence[Brief]) -> list[str]:
    """What all runs of a command were told, a line for each command."""
    commands = by_command(runs)
    lines = []
    for command, alike in commands.items():
        words = " ".join(shared_words(alike))
        which = f" of {command}" if len(commands) > 1 else ""
        if words:
            lines.append(f"All{which} with {words}")
    return lines


def runs_csv(paths: Sequence[Path]) -> str:
    """The runs as one table."""
    return csv_text(list(rows_of(_gathered(paths).groups)))


def show_compared(paths: Sequence[Path]) -> None:
    """What several runs of one command say together: their groups with means over seeds, and where
    the page is."""
    gathered = _gathered(paths)
    groups, runs = gathered.groups, gathered.runs
    quantities = quantities_of(runs)
    found = means_table(groups, quantities[:MOST_TOLD])
    print()
    firsts = [group.runs[0] for group in groups]
    shared = " ".join(shared_words(firsts))
    alike = f", all with {shared}" if shared and len(groups) > 1 else ""
    print_prose([f"{len(runs)} runs{alike}; means over runs ± one standard error:"])
    print_table(found.headings, found.rows)
    tell(f"comparison: {_page(gathered, None)}")


def _titles(quantities: Sequence[Quantity]) -> list[str]:
    return [label.replace("_", " ") for label in labels_of(quantities).values()]


def _compared(
    groups: Sequence[Group], out: Path, quantities: Sequence[Quantity]
) -> Iterator[Compared]:
    count = sum(len(group.runs) for group in groups)
    for group in groups:
        for run in group.runs:
            page = run.path / "report.html"
            if not page.exists() and count <= MOST_DRAWN:
                draw(run.path)
            shown = page if page.exists() else run.path / "results.json"
            yield Compared(
                run.path.name,
                link_to(shown, out.parent),
                run.command,
                group.name,
                run.headline,
                run.seed,
                [_number(run, quantity) for quantity in quantities],
            )


def _number(run: Brief, quantity: Quantity) -> str:
    claim = quantity.of(run)
    if claim is None:
        return ""
    return quantity.told(claim["value"], claim["stderr"], quantity.unit(run))


def means_table(groups: Sequence[Group], quantities: Sequence[Quantity]) -> Table:
    """A row a group: its seeds, the mean of each quantity ± its error over seeds, and how many runs
    hold."""
    rows = [_means(group, quantities) for group in groups]
    headings = [
        "group",
        "runs",
        "seeds",
        *_titles(quantities),
        "headline holds",
        "edges connected",
    ]
    filled = map(any, zip(*rows, strict=True))
    kept = list(compress(range(len(headings)), filled))
    names: list[str] = [Text(headings[k]) for k in kept]
    body = []
    for row in rows:
        body.append([row[k] for k in kept])
    return Table(names, body, [])


def _means(group: Group, quantities: Sequence[Quantity]) -> list[str]:
    means = []
    for quantity in quantities:
        found = over_seeds(over(group, quantity)).mean
        told = quantity.told(found.value, found.stderr, quantity.unit(group.runs[0]))
        means.append("" if found.value is None else told)
    verdicts = [(run.headline or {}).get("holds") for run in group.runs]
    held = (
        f"{verdicts.count(True)} of {len(verdicts)}" if any(v is not None for v in verdicts) else ""
    )
    connected, edges = edges_connected(group)
    joined = f"{connected} of {edges}" if edges else ""
    return [
        Text(group.name),
        str(len(group.runs)),
        Text(group.seeds),
        *means,
        Text(held),
        Text(joined),
    ]


def _differences(groups: Sequence[Group]) -> list[tuple[str, Table]]:
    """(a command, the settings in which its groups are not all equal) where there are any; the
    command is left out where there is one alone."""
    commands = by_command(groups)
    found = []
    for command, alike in commands.items():
        configurations = [group.runs[0].settings for group in alike]
        settings = stated(configurations)
        if settings:
            title = command if len(commands) > 1 else ""
            found.append((title, _settings_table(alike, settings)))
    return found


def _settings_table(groups: Sequence[Group], settings: Mapping[str, Sequence[str]]) -> Table:
    """A row a key, of many groups a column."""
    columns = [_texts("", [group.name for group in groups])]
    columns += [_texts(key, values) for key, values in settings.items()]
    if len(groups) >= FEW:
        columns = [list(row) for row in zip(*columns, strict=True)]
    return Table(columns[0], columns[1:], [])


def _texts(name: str, values: Sequence[str]) -> list[str]:
    """A name and values as text that is no number, whatever it looks like."""
    return [Text(cell) for cell in (name, *values)]
