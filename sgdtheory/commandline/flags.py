"""Hydra's own flags, as the command line lets them through."""

VALUED = (
    "--cfg",
    "-c",
    "--package",
    "-p",
    "--config-dir",
    "-cd",
    "--config-name",
    "-cn",
    "--config-path",
    "-cp",
)
OPTIONAL = ("--info", "-i")  # may be followed by one of INFO
PLAIN = (
    "--multirun",
    "-m",
    "--resolve",
    "--run",
    "-r",
    "--hydra-help",
    "--shell-completion",
    "-sc",
)
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
OURS = (
    "--trust",
    "--from",
    "--dry-run",
    "--retry-failed",
    "--quiet",
    "--verbose",
    "--trace",
    "--help",
)


def known_flags() -> tuple[str, ...]:
    return (*VALUED, *OPTIONAL, *PLAIN)


def is_known(word: str) -> bool:
    return word.split("=")[0] in known_flags()


def without_value(words: list[str]) -> list[str]:
    """The flags that want a value and have none."""
    return [
        word
        for word, after in zip(words, [*words[1:], "-"], strict=False)
        if word in VALUED and after.startswith("-")
    ]


def flags_first(words: list[str]) -> tuple[list[str], list[str]]:
    """(flags with their values, overrides), each in order: Hydra refuses overrides on both sides of
    a flag."""
    flags: list[str] = []
    overrides: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            overrides.append(word)
            continue
        flags.append(word)
        if word in VALUED and left:
            flags.append(left.pop(0))
        elif (
            word in OPTIONAL
        ):  # with its default written out, or Hydra would take an override for its value
            flags.append(left.pop(0) if left and left[0] in INFO else "all")
    return flags, overrides


def value_of(flags: list[str], *names: str) -> str | None:
    """The value that follows one of these flags."""
    for i, word in enumerate(flags):
        name, _, value = word.partition("=")
        if name in names:
            return value or (flags[i + 1] if i + 1 < len(flags) else None)
    return None
