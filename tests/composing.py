"""What the words of a command compose to, without anything being built."""

from sgdtheory.commandline.composer import ConfigComposer
from sgdtheory.commandline.flags import flags_first
from sgdtheory.commandline.studies import with_study
from sgdtheory.commandline.words import in_ascii, jobs_of, quoted
from sgdtheory.runs.plain import Json


def composed(words: list[str]) -> Json | Exception:
    """What the overrides of a command compose to, of several values the first."""
    command, *rest = _with_study_said(_without_trust(words))
    _, overrides = flags_first(rest)
    named = next(jobs_of([in_ascii(quoted(word)) for word in overrides]))
    return ConfigComposer(command.replace("-", "_"), None).compose(named)


def _without_trust(words: list[str]) -> list[str]:
    """Without the packages that the composer has nothing to do with."""
    pairs = zip(["", *words], words, strict=False)
    return [word for before, word in pairs if "--trust" not in (before, word)]


def _with_study_said(words: list[str]) -> list[str]:
    return ["study", *with_study(words[1:], earlier=False)] if words[0] == "study" else words
