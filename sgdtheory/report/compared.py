"""Several runs on one page: groups with means over seeds, what each run says, and where their
configurations differ. No torch."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import compress
from pathlib import Path
from typing import NamedTuple

from sgdtheory.report.facts import link_to
from sgdtheory.report.figures.table import Table, Text, claimed, csv_text
from sgdtheory.report.many_runs import (
    Brief,
    Group,
    brief,
    differing,
    edges_connected,
    groups_of,
    shared_words,
)
from sgdtheory.report.page import draw
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


def compare(paths: Sequence[Path], out: Path | None) -> Path:
    """One page for several runs, and its tables beside it; gives the path of the page."""
    return _page(_groups(paths), out)


def _groups(paths: Sequence[Path]) -> list[Group]:
    """The runs in groups; what is said of them stands on stderr too."""
    groups = groups_of([brief(path) for path in dict.fromkeys(paths)])
    for remark in _remarks(groups):
        say(remark)
    return groups


def _remarks(groups: Sequence[Group]) -> list[str]:
    return [remark for group in groups for remark in group.remarks]


def _page(groups: Sequence[Group], out: Path | None) -> Path:
    runs = _runs_of(groups)
    out = out or _home(runs)
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
        shared=" ".join(shared_words(runs)),
        runs=list(_compared(groups, out, quantities)),
        claims=_titles(quantities),
        groups=groups if many else [],
        means=means,
        summaries=summaries_table(summaries) if many else None,
        differences=_differences(compared),
        remarks=_remarks(groups),
        table=f"{out.stem}.csv",
        table_of_groups=f"{out.stem}-groups.csv" if summaries else None,
    )
    folder.write_text(out.name, page)
    return out


def _runs_of(groups: Sequence[Group]) -> list[Brief]:
    """The runs of all groups, one group after the other."""
    runs = []
    for group in groups:
        runs += group.runs
    return runs


def runs_csv(paths: Sequence[Path]) -> str:
    """The runs as one table."""
    return csv_text(list(rows_of(_groups(paths))))


def show_compared(paths: Sequence[Path]) -> None:
    """What several runs of one command say together: their groups with means over seeds, and where
    the page is."""
    groups = _groups(paths)
    runs = _runs_of(groups)
    quantities = quantities_of(runs)
    found = means_table(groups, quantities[:MOST_TOLD])
    print()
    firsts = [group.runs[0] for group in groups]
    shared = " ".join(shared_words(firsts))
    alike = f", all with {shared}" if shared and len(groups) > 1 else ""
    print_prose([f"{len(runs)} runs{alike}; means over runs ± one standard error:"])
    print_table(found.headings, found.rows)
    tell(f"comparison: {_page(groups, None)}")


def _home(runs: list[Brief]) -> Path:
    """<root>/compare-<hash>.html: the same runs, in whatever order, have the same page."""
    hashes = "".join(sorted(str(run.results.get("config_hash")) for run in runs))
    own = hashlib.sha256(hashes.encode()).hexdigest()
    return _root(runs[0].path) / f"compare-{own[:8]}.html"


def _root(path: Path) -> Path:
    """The `runs` of runs/<command>/<name>, as short as it can be said from here."""
    root = path.absolute().parent.parent
    if root.is_relative_to(Path.cwd()):
        return root.relative_to(Path.cwd())
    return root


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
            claims = [quantity.of(run) for quantity in quantities]
            yield Compared(
                run.path.name,
                link_to(shown, out.parent),
                run.command,
                group.name,
                run.headline,
                run.seed,
                [claimed(claim) if claim else "" for claim in claims],
            )


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
        mean = {"name": quantity.name, "value": found.value, "stderr": found.stderr}
        means.append("" if found.value is None else claimed(mean))
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


def _differences(groups: Sequence[Group]) -> Table:
    """The settings in which groups are not all equal: a row a key, of many groups a column."""
    firsts = [group.runs[0] for group in groups]
    columns: list[list[str]] = [_texts("", [group.name for group in groups])]
    for key in differing(firsts):
        columns.append(_texts(key, [run.settings.get(key) for run in firsts]))
    if len(groups) >= FEW:
        columns = [list(row) for row in zip(*columns, strict=True)]
    return Table(columns[0], columns[1:], [])


def _texts(name: str, values: Sequence[object]) -> list[str]:
    """A name and values as text that is no number, whatever it looks like."""
    cells = ["" if value is None else str(value) for value in values]
    return [Text(cell) for cell in (name, *cells)]
