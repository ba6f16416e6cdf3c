"""What goes wrong, in two kinds: the user's mistake (exit code 2) and a run that failed (exit code 1)."""


class Mistake(ValueError):
    """Something the user asked for that cannot be done: the message says what, where, and what to do instead."""


class Failure(RuntimeError):
    """A run that could not go on: the message says what happened, where, and what was kept."""


def nearest(word: str, known: list[str]) -> str:
    """The known name closest to `word`, as a hint to be put behind a message; empty when none is close."""
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
