"""What is wrong with the overrides of a command: every fault in a line of its own, with the nearest
name that is right.

Knows no Hydra: it is handed a `Composer` that says what it composes or why it cannot.

"""

from typing import Protocol

from sgdtheory.commandline.habits import choice_meant, group_meant, meant
from sgdtheory.errors import nearest
from sgdtheory.runs.plain import Json


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
    faults, left = [], []
    for word in words:
        said = composer.parse(word)
        left.append(word) if said is None else faults.append(said)
    while isinstance(fault := composer.compose(left), Exception):
        guilty = _guilty(left, str(fault), composer)
        if guilty is None:
            return [*faults, first_line(str(fault))]
        left.remove(guilty)
        faults.append(_explain(guilty, fault, left, composer))
    return faults


def _guilty(words: list[str], said: str, composer: Composer) -> str | None:
    """The word without which the complaint is another one, or none."""
    named_first = sorted(words, key=lambda word: key_of(word) not in said)
    for word in named_first:  # most complaints name the key
        without = composer.compose([other for other in words if other != word])
        if not isinstance(without, Exception) or str(without) != said:
            return word
    return None


def _explain(word: str, fault: Exception, others: list[str], composer: Composer) -> str:
    key, value = key_of(word), word.partition("=")[2]
    known = composer.choices.get(key, [])
    wrong = [name for name in value.strip("[]").split(",") if name not in known]
    if key in composer.choices and wrong:
        hint = choice_meant(key, wrong[0]) or nearest(wrong[0], known)
        hint = hint or f"; there are {', '.join(known) or 'none'}"
        return f"{word}: there is no {key} {wrong[0]!r}{hint}"
    tree = _tree_of(others, composer)
    keys = [*paths_of(tree), *composer.choices]
    if key in composer.choices and "No match in the defaults" in str(fault):
        return f"{word}: this command has no {key}= to choose{group_meant(key, keys)}"
    if key in keys and word.startswith("+"):
        return f"{word}: there is {key!r} already; leave the + out"
    if key not in keys and not word.startswith("+"):
        return f"{word}: there is no key {key!r}{key_hint(key, value, keys, tree)}"
    return f"{word}: {first_line(str(fault))}"


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
    return word.lstrip("+~").partition("=")[0].partition("@")[0]


def key_hint(key: str, value: str, keys: list[str], tree: object) -> str:
    """The key that is meant: by habit, of the same name elsewhere (`width` → 'model.width'),
    similar beside it, or similar."""
    folder, _, leaf = key.rpartition(".")
    if hint := meant(key, keys, value, tree):
        return hint
    for path in keys:
        if path.rpartition(".")[2] == leaf:
            return f"; did you mean {path!r}?"
    beside = [path.rpartition(".")[2] for path in keys if path.rpartition(".")[0] == folder]
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
        paths += [f"{prefix}{key}", *paths_of(value, f"{prefix}{key}.")]
    return paths


def first_line(text: str) -> str:
    """The first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "unknown")
