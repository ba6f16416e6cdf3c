"""Which studies there are, and which one a command line names."""

from pathlib import Path

from sgdtheory.commandline.comments import headings
from sgdtheory.commandline.flags import flags_first, value_of
from sgdtheory.commandline.targets import CONFIGS
from sgdtheory.errors import UserError, nearest


def studies(directory: str | None = None) -> dict[str, str]:
    """The claim of every study by its name, those of a user's --config-dir too: the first heading
    of its yaml."""
    found = {}
    for folder in (CONFIGS, *([Path(directory)] if directory else [])):
        for file in sorted((folder / "study").glob("*.yaml")):
            claim = headings(file.read_text(encoding="utf-8"))
            found[file.stem] = claim[0] if claim else ""
    return found


def with_study(words: list[str], earlier: bool) -> list[str]:
    """The words of `study NAME …` as Hydra reads them, study=NAME; `earlier`: an earlier run's
    configuration names it."""
    flags, overrides = flags_first(words)
    names = [word for word in overrides if "=" not in word and not word.startswith("~")]
    known = studies(value_of(flags, "--config-dir", "-cd"))
    given = [
        *names,
        *(word.removeprefix("study=") for word in overrides if word.startswith("study=")),
    ]
    if earlier:
        if given:
            raise UserError(f"--from says which study it is; leave {given[0]} out")
        return words
    there = f"there are {', '.join(known)}"
    if len(given) != 1:
        raise UserError(f"study: {'one study at a time' if given else 'say which study'}; {there}")
    if given[0] not in known and "," not in given[0]:
        raise UserError(
            f"study: there is no study {given[0]!r}"
            + (nearest(given[0], list(known)) or f"; {there}")
        )
    return [
        *flags,
        f"study={given[0]}",
        *(word for word in overrides if word != given[0] and not word.startswith("study=")),
    ]
