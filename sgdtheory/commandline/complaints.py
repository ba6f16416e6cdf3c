"""What is wrong with the overrides of a command: every fault in a line of its own, with the nearest
name that is right.

Knows no Hydra: it is handed a `Composer` that says what it composes or why it cannot.

"""

import re
from typing import Protocol

from sgdtheory.commandline.choices_meant import choice_meant
from sgdtheory.commandline.habits import group_meant, meant
from sgdtheory.errors import nearest
from sgdtheory.runs.plain import Json

# how Hydra's complaints begin about a group that is not among a command's defaults
NOT_CHOSEN = "Could not override"
NOT_LEFT_OUT = "Could not delete"
MOST_PLACES = 3  # of a group in one command, that are named


class Composer(Protocol):
    choices: dict[str, list[str]]  # the names in every group

    def compose(self, words: list[str]) -> Json | Exception:
        """The tree that these overrides give, or what is wrong with them."""
        ...

    def parse(self, word: str) -> str | None:
        """Why one word is no override, None when it is one."""
        ...


def faults_of(words: list[str], composer: Composer) -> list[str]:
    """All faults: drop the override that is at fault, ask again, until what is left composes."""
    faults = []
    left = []
    for word in words:
        said = composer.parse(word)
        if said is None:
            left.append(word)
        else:
            faults.append(said)
    composed = composer.compose(left)
    while isinstance(composed, Exception):
        said = str(composed)
        guilty = _guilty(left, said, composer)
        if guilty is None:
            return [*faults, first_line(said)]
        left.remove(guilty)
        faults.append(_explain(guilty, said, left, composer))
        composed = composer.compose(left)
    return faults


def _guilty(words: list[str], said: str, composer: Composer) -> str | None:
    """The word without which the complaint is another one, or none."""
    # most complaints name the key, and with it the group that it is of
    by_length = sorted(words, key=lambda word: len(key_of(word)), reverse=True)
    named_first = sorted(by_length, key=lambda word: key_of(word) not in said)
    for word in named_first:
        others = [other for other in words if other != word]
        without = composer.compose(others)
        if not isinstance(without, Exception) or str(without) != said:
            return word
    return None


def _explain(word: str, said: str, others: list[str], composer: Composer) -> str:
    key = key_of(word)
    value = word.partition("=")[2]
    wrong = _wrong_choice(key, value, composer)
    if wrong and not word.startswith("~"):
        return f"{word}: {wrong}"
    tree = _tree_of(others, composer)
    keys = [*paths_of(tree), *composer.choices]
    is_added = word.startswith("+")
    if key in composer.choices and said.startswith(NOT_CHOSEN):
        return f"{word}: {_not_chosen(key, value, said, keys)}"
    if key in composer.choices and said.startswith(NOT_LEFT_OUT):
        return f"{word}: this command has no {word[1:]} to leave out"
    if key in keys and is_added:
        return f"{word}: there is {key!r} already; leave the + out"
    if key not in keys and not is_added:
        hint = key_hint(key, value, keys, tree)
        return f"{word}: there is no key {key!r}{hint}"
    return f"{word}: {first_line(said)}"


def _not_chosen(key: str, value: str, said: str, keys: list[str]) -> str:
    """What is wrong with a choice for a group that a command does not have, or has in places of
    its own, which Hydra names."""
    found = re.search(r"Did you mean to override (?:one of )?(.*)\?", said)
    if found is None:
        return f"this command has no {key}= to choose{group_meant(key, keys)}"
    places = [f"{place}={value}" for place in found[1].split(", ")]
    if len(places) == 1:
        return f"this command has no such place to choose a {key}; did you mean '{places[0]}'?"
    listed = ", ".join(places[:MOST_PLACES]) + (", …" if len(places) > MOST_PLACES else "")
    return f"this command chooses {key} in {len(places)} places; name one of them: {listed}"


def _wrong_choice(key: str, value: str, composer: Composer) -> str:
    """What is chosen from a group that is not there, and what is there instead; empty where
    nothing is."""
    if key not in composer.choices:
        return ""
    known = composer.choices[key]
    chosen = value.strip("[]").split(",")
    wrong = [name for name in chosen if name not in known]
    if not wrong:
        return ""
    first = wrong[0]
    hint = choice_meant(key, first) or nearest(first, known)
    if not hint:
        there = ", ".join(known) or "none"
        hint = f"; there are {there}"
    return f"there is no {key} {first!r}{hint}"


def _tree_of(words: list[str], composer: Composer) -> Json | None:
    """What words compose to, else the choices among them, else none of them."""
    choices = [word for word in words if key_of(word) in composer.choices]
    for some in (words, choices, []):
        tree = composer.compose(some)
        if not isinstance(tree, Exception):
            return tree
    return None


def key_of(word: str) -> str:
    """`+model.width=3`, `~model`, `data@x=…` → model.width, model, data."""
    target, _, _ = word.lstrip("+~").partition("=")
    key, _, _ = target.partition("@")
    return key


def key_hint(key: str, value: str, keys: list[str], tree: object) -> str:
    """The key that is meant: by habit, of the same name elsewhere (`width` → 'model.width'),
    similar beside it, or similar."""
    hint = meant(key, keys, value, tree)
    if hint:
        return hint
    folder, _, leaf = key.rpartition(".")
    beside = []
    for path in keys:
        its_folder, _, its_leaf = path.rpartition(".")
        if its_leaf == leaf:
            return f"; did you mean {path!r}?"
        if its_folder == folder:
            beside.append(its_leaf)
    close = nearest(leaf, beside) if beside else nearest(key, keys)
    if beside and folder:
        close = close.replace("mean '", f"mean '{folder}.")
    return close or "; --cfg job prints all that there are"


def paths_of(tree: object, prefix: str = "") -> list[str]:
    """All keys of a tree, with dots, an inner one behind that which it is in."""
    if not isinstance(tree, dict):
        return []
    paths: list[str] = []
    for key, value in tree.items():
        path = f"{prefix}{key}"
        paths.append(path)
        paths += paths_of(value, f"{path}.")
    return paths


def first_line(text: str) -> str:
    """The first line that says something."""
    for line in text.splitlines():
        if line.strip():
            return line.strip()
    return "unknown"
