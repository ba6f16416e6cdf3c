"""What goes wrong, in two kinds: the user's mistake (exit code 2) and a run that failed (exit code
1)."""

import re
from collections.abc import Iterator

# ratios of difflib from which two words count as the same but for a typing error, and as alike
TYPING_ERROR = 0.75
LIKENESS = 0.5


class UserError(ValueError):
    """Something the user asked for that cannot be done: the message says what, where, and what to
    do instead."""


class RunError(RuntimeError):
    """A run that could not go on: the message says what happened, where, and what was kept."""


def first_line(fault: BaseException) -> str:
    """The first line of what an exception says; empty where it says nothing."""
    lines = str(fault).splitlines()
    if lines:
        return lines[0]
    return ""


def in_a_line(fault: BaseException, most: int | None = None) -> str:
    """What an exception is, and the first line of what it says, at `most` so many letters of it."""
    return f"{type(fault).__name__}: {first_line(fault)[:most]}"


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
    from difflib import get_close_matches

    folded = fold(word)
    names = [(name, fold(name)) for name in known]
    if folded:
        signs = sorted(folded)
        yield from (name for name, other in names if other == folded)
        yield from (name for name, other in names if sorted(other) == signs)
    yield from _of_another_number(folded, known)
    yield from get_close_matches(word, known, n=1, cutoff=TYPING_ERROR)
    if len(folded) > 2:
        yield from (name for name, other in names if other.startswith(folded))
    yield from _of_a_close_part(word, known)
    yield from _alike(folded, known)


def _of_another_number(folded: str, known: list[str]) -> list[str]:
    """Known names that differ from a folded one in numbers alone, the nearest numbers first."""
    letters, numbers = _taken_apart(folded)
    if not numbers:
        return []
    distances: dict[str, int] = {}
    for name in known:
        other_letters, other_numbers = _taken_apart(fold(name))
        if other_letters == letters:
            distances[name] = _distance(other_numbers, numbers)
    return sorted(distances, key=distances.__getitem__)


def _of_a_close_part(word: str, known: list[str]) -> list[str]:
    """The known name of which a part is the word, but for a typing error."""
    from difflib import get_close_matches

    names: dict[str, str] = {}  # by part, the first of them
    for name in reversed(known):
        for part in re.split(r"\W|_", name):
            if len(part) > 2:
                names[part] = name
    parts = get_close_matches(word.lower(), list(names), n=1, cutoff=TYPING_ERROR)
    return [names[part] for part in parts]


def _alike(folded: str, known: list[str]) -> list[str]:
    """Known names that share half of their signs with a folded one, the closest first."""
    from difflib import SequenceMatcher

    ratios: dict[str, float] = {}
    for name in known:
        ratio = SequenceMatcher(None, folded, fold(name)).ratio()
        if ratio >= LIKENESS:
            ratios[name] = ratio
    return sorted(ratios, key=ratios.__getitem__, reverse=True)


def fold(name: str) -> str:
    """A name without case and signs: ResNet-20 → resnet20."""
    return re.sub(r"[\W_]+", "", name).lower()


def _taken_apart(name: str) -> tuple[str, list[int]]:
    """resnet20 → (resnet#, [20])."""
    letters = re.sub(r"\d+", "#", name)
    numbers = re.findall(r"\d+", name)
    return letters, list(map(int, numbers))


def _distance(some: list[int], others: list[int]) -> int:
    pairs = zip(some, others, strict=True)
    return sum(abs(a - b) for a, b in pairs)
