"""The words of a call: how something is done, not what it is done on, which the call is given."""

import re
from collections.abc import Iterable

from sgdtheory.commandline.complaints import key_of
from sgdtheory.commandline.words import is_below, root_of
from sgdtheory.errors import UserError

LANDSCAPE = "the call is given its landscape; say it to sgdtheory.landscape"
POINTS = "the call is given its points; give it others"
HERE = "a call computes in this process; leave it out"
# first parts of keys that a command takes and a call does not: where it is said instead
ELSEWHERE = {
    "landscape": LANDSCAPE,
    "model": LANDSCAPE,
    "data": LANDSCAPE,
    "loss": LANDSCAPE,
    "device": f"{LANDSCAPE}, device=…",
    "minima": POINTS,
    "start": POINTS,
    "at": POINTS,
    "checkpoint": POINTS,
    "run": "run= of the call says where, run='runs/own'",
    "executor": HERE,
    "hydra": HERE,
    "experiment": "an experiment has a landscape of its own; say its other words one by one",
    "study": "a study has landscapes of its own; give it to the command",
    "_target_": "the call says which command it is; leave it out",
}


def texts_of(given: "str | Iterable[str] | None", name: str) -> list[str]:
    """Texts one by one; one alone is a list of one."""
    if given is None or isinstance(given, str):
        return [given] if given else []
    texts = list(given) if isinstance(given, Iterable) else [given]
    for text in texts:
        if not isinstance(text, str):
            raise UserError(f"{name}: {text!r} is no text; give texts, {name}=['…', '…']")
    return texts


def words_of(given: "str | Iterable[str] | None", arguments: dict[str, str]) -> list[str]:
    """The words of a call, one alone being a list of one; `arguments`: those that say the same as
    a key does, by that key.

    Raises UserError for what is not said by words, or said twice.
    """
    words = texts_of(given, "words")
    for word in words:
        for root in _roots_of(word):
            if root in ELSEWHERE:
                raise UserError(f"words: {word}: {ELSEWHERE[root]}")
        for key, argument in arguments.items():
            if not is_below(key, key_of(word)):
                continue
            raise UserError(
                f"words: {word}: {argument}= is given too, and the two are one; leave one of "
                f"them out"
            )
    return words


def _roots_of(word: str) -> list[str]:
    """The first part of the key of a word, and of the place that it puts a choice: `sgd@model=x`
    → sgd, model."""
    place = re.match(r"[^=]*@(\w+)", word)
    return [root_of(word), *([place[1]] if place else [])]
