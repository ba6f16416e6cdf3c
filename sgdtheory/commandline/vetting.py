"""Flags that neither we nor Hydra know are refused before Hydra prints its usage."""

import re

from sgdtheory.commandline.flags import OURS, is_known, known_flags, without_value
from sgdtheory.errors import UserError, nearest


def vet(command: str, words: list[str]) -> None:
    """Raise UserError for flags that nothing knows, with a hint, and for flags without their
    value."""
    faults = []
    for word, after in zip(words, [*words[1:], ""], strict=False):
        if word.startswith("-") and not is_known(word):
            hint = _as_key(command, word, after) or nearest(word, [*known_flags(), *OURS])
            faults.append(f"{command} knows no flag {word}{hint}")
    faults += [f"{word} needs a value" for word in without_value(words)]
    if faults:
        raise UserError("\n".join(faults[:3]))


def _as_key(command: str, flag: str, after: str) -> str:
    """A hint for a flag that is a key in other tools: `--lr 0.1` → sgd.learning_rate=0.1; empty
    where it is none."""
    from sgdtheory.commandline.composer import keys_of
    from sgdtheory.commandline.habits import meant

    parts = re.fullmatch(r"--?([A-Za-z][\w.-]*?)(?:=(.*)|(\d+))?", flag)
    if parts is None:
        return ""
    key = parts[1].replace("-", "_")
    following = "" if after.startswith("-") or "=" in after else after
    value = parts[2] or parts[3] or following
    tree, keys = keys_of(command)
    same = _same_key(key, keys)
    hint = f"; did you mean {same!r}?" if same else meant(key, keys, value, tree)
    if re.fullmatch(r"[\w.,:-]+", value):
        hint = re.sub(r"(?<=mean ')([\w.]+)'", rf"\1={value}'", hint)
    if not hint or "that is a flag" in hint:
        return ""
    return f"; keys are written key=value{hint}"


def _same_key(key: str, keys: list[str]) -> str:
    """The key of this name, else the first that ends in it; empty where there is none."""
    if key in keys:
        return key
    ending = (path for path in keys if path.rpartition(".")[2] == key)
    return next(ending, "")
