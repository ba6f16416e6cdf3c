"""Hydra's own flags, as the command line lets them through."""

VALUED = ("--cfg", "-c", "--package", "-p", "--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp")
OPTIONAL = ("--info", "-i")  # may be followed by one of INFO
PLAIN = ("--multirun", "-m", "--resolve", "--run", "-r", "--hydra-help", "--shell-completion", "-sc")
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
OURS = ("--trust", "--from", "--dry-run", "--retry-failed", "--quiet", "--verbose", "--trace", "--help")


def known_flags() -> tuple[str, ...]:
    return (*VALUED, *OPTIONAL, *PLAIN)


def is_known(word: str) -> bool:
    return word.split("=")[0] in known_flags()


def flags_first(words: list[str]) -> tuple[list[str], list[str]]:
    """(flags with their values, overrides), each in order: Hydra refuses overrides on both sides of a flag."""
    flags: list[str] = []
    overrides: list[str] = []
    wants: tuple[str, ...] | None = None  # what the flag before may take: anything for (), one of these otherwise
    for word in words:
        if word.startswith("-"):
            flags.append(word)
            wants = () if word in VALUED else INFO if word in OPTIONAL else None
        elif wants == () or (wants and word in wants):
            flags.append(word)
            wants = None
        else:
            overrides.append(word)
            wants = None
    return flags, overrides


def value_of(flags: list[str], *names: str) -> str | None:
    """The value that follows one of these flags."""
    for i, word in enumerate(flags):
        name, _, value = word.partition("=")
        if name in names:
            return value or (flags[i + 1] if i + 1 < len(flags) else None)
    return None
