"""What goes wrong, in two kinds: the user's mistake (exit code 2) and a run that failed (exit code
1)."""

import re
from collections.abc import Iterator


class UserError(ValueError):
    """Something the user asked for that cannot be done: the message says what, where, and what to
    do instead."""


class RunError(RuntimeError):
    """A run that could not go on: the message says what happened, where, and what was kept."""


def nearest(word: str, known: list[str]) -> str:
    """The known name closest to `word`, as a hint to be put behind a message; empty when none is
    close."""
    found = next(closest(word, known), None)
    if found:
        return f"; did you mean {found!r}?"
    return ""


def closest(word: str, known: list[str]) -> Iterator[str]:
    """Known names that are close, by one measure after another: the same but for case and signs,
    with signs swapped (81 for 18), another number, a typing error, a beginning, a typing error
    in a part of it, a far likeness."""
    from difflib import SequenceMatcher, get_close_matches

    folded = fold(word)
    yield from (name for name in known if folded and fold(name) == folded)
    yield from (name for name in known if folded and sorted(fold(name)) == sorted(folded))
    letters, numbers = _taken_apart(folded)
    alike = [name for name in known if numbers and _taken_apart(fold(name))[0] == letters]
    alike = [name for name in alike if len(_taken_apart(fold(name))[1]) == len(numbers)]
    yield from sorted(alike, key=lambda name: _distance(_taken_apart(fold(name))[1], numbers))
    yield from get_close_matches(word, known, n=1, cutoff=0.75)
    yield from (name for name in known if len(folded) > 2 and fold(name).startswith(folded))
    parts = {
        part: name for name in reversed(known) for part in re.split(r"\W|_", name) if len(part) > 2
    }
    yield from (
        parts[part] for part in get_close_matches(word.lower(), list(parts), n=1, cutoff=0.75)
    )
    ratios = {name: SequenceMatcher(None, folded, fold(name)).ratio() for name in known}
    yield from sorted(
        (name for name in known if ratios[name] >= 0.5), key=lambda name: -ratios[name]
    )


def fold(name: str) -> str:
    """A name without case and signs: ResNet-20 → resnet20."""
    return re.sub(r"[\W_]+", "", name).lower()


def _taken_apart(name: str) -> tuple[str, list[int]]:
    """resnet20 → (resnet#, [20])."""
    return re.sub(r"\d+", "#", name), [int(number) for number in re.findall(r"\d+", name)]


def _distance(some: list[int], others: list[int]) -> int:
    return sum(abs(a - b) for a, b in zip(some, others, strict=True))
