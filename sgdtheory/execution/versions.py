"""What numbers were computed with: another torch, or another version of this package, may give
others."""

from collections.abc import Iterable
from importlib.metadata import version

from sgdtheory import __version__
from sgdtheory.runs.plain import Facts


def versions() -> dict[str, str]:
    """Of what the numbers depend on; torch is not imported for it."""
    return {"sgdtheory": __version__, "torch": version("torch")}


def otherwise(known: Facts) -> str:
    """In words how these versions differ from those here, empty where they do not: `torch 2.13,
    this is 2.14`."""
    here = versions()
    told = [
        f"{name} {_short(name, str(known[name]))}, this is {_short(name, now)}"
        for name, now in here.items()
        if name in known and _short(name, str(known[name])) != _short(name, now)
    ]
    return "; ".join(told)


def strangers(rows: Iterable[Facts]) -> list[str]:
    """Of units that are done, those that other versions did, a line for each such version."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.get("status") == "done" and (other := otherwise(row.get("versions", {}))):
            found.setdefault(other, []).append(str(row.get("name")))
    return [
        f"{', '.join(names[:3])}{' …' if len(names) > 3 else ''}: computed with {other}"
        for other, names in found.items()
    ]


def _short(name: str, version: str) -> str:
    """Of torch 2.13 for 2.13.1+cpu: its patches change no numbers that we know of; of ours all."""
    if name != "torch":
        return version
    numbers = version.partition("+")[0].split(".")
    return ".".join(numbers[:2])
