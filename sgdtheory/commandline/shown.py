"""`--cfg job`: what Hydra prints of a configuration, with the comments of the files that it comes
from."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from sgdtheory.commandline.comments import comments_of, headings, with_comments
from sgdtheory.commandline.composer import groups, parts_of
from sgdtheory.commandline.flags import value_of
from sgdtheory.commandline.words import key_set_by

GIVEN = "as asked for"


@contextmanager
def commented(
    name: str, flags: list[str], overrides: list[str], directory: str | None
) -> Iterator[None]:
    """In this block what Hydra prints for `--cfg` has its comments; without the flag the block is
    as any other."""
    if value_of(flags, "--cfg", "-c") is None:
        yield
        return
    printed = io.StringIO()
    with redirect_stdout(printed):
        yield
    package = value_of(flags, "--package", "-p")
    prefix = f"{package}." if package not in (None, "_global_") else ""
    comments = comments_for(name, overrides, directory)
    sys.stdout.write(with_comments(printed.getvalue(), comments, prefix))


def comments_for(name: str, overrides: list[str], directory: str | None) -> dict[str, str]:
    """The comment of every key of a composed configuration, by the last file that states it; a
    group is said by the heading of what is chosen."""
    found: dict[str, str] = {}
    for file, package in parts_of(name, overrides, directory):
        text = file.read_text(encoding="utf-8")
        if package:
            found[package] = " ".join(headings(text)[:1])
        prefix = f"{package}." if package else ""
        found |= {f"{prefix}{key}": comment for key, comment in comments_of(text).items()}
    choices = groups(directory)
    given = [key_set_by(word) for word in overrides]
    return found | {key: GIVEN for key in given if key not in choices}
