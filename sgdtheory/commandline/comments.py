"""What the comments of a yaml say of its keys, and a yaml that says it again."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import yaml

HEADING = re.compile(r"^# (?!@)(.+)$", re.MULTILINE)
COMMENT = re.compile(r"(?:^|\s)#\s+(.*)$")


class Stated(NamedTuple):
    """A key of a yaml, with dots, and where the line goes on behind what stands there of it."""

    key: str
    line: int
    column: int
    is_leaf: bool  # not a mapping


def headings(text: str) -> list[str]:
    """The comments in front of the first key, without directives."""
    before = re.split(r"^[^#\s]", text, maxsplit=1, flags=re.MULTILINE)[0]
    return HEADING.findall(before)


def comments_of(text: str) -> dict[str, str]:
    """The comment of every key of a yaml: `steps: 400 # at most` → {"steps": "at most"}; a value
    without one has an empty one, a mapping none."""
    lines = text.splitlines()
    found: dict[str, str] = {}
    for stated in keys_of_yaml(text):
        rest = COMMENT.search(lines[stated.line][stated.column :])
        if rest is not None or stated.is_leaf:
            found[stated.key] = rest[1] if rest else ""
    return found


def with_comments(text: str, comments: Mapping[str, str], prefix: str = "") -> str:
    """A yaml with the comment of each key behind it; `prefix`: where its keys stand in the
    whole, with a dot."""
    lines = text.splitlines()
    for stated in keys_of_yaml(text):
        comment = comments.get(f"{prefix}{stated.key}", "")
        if comment:
            lines[stated.line] += f"  # {comment}"
    return "\n".join([*lines, ""])


def keys_of_yaml(text: str) -> Iterator[Stated]:
    """The keys of a yaml, however deep, a mapping before what is in it."""
    yield from _keys(yaml.compose(text), "")


def _keys(node: yaml.Node | None, prefix: str) -> Iterator[Stated]:
    if not isinstance(node, yaml.MappingNode):
        return
    for name, value in node.value:
        key = f"{prefix}{name.value}"
        is_below = value.start_mark.line > name.end_mark.line
        end = name.end_mark if is_below else value.end_mark
        yield Stated(key, end.line, end.column, not isinstance(value, yaml.MappingNode))
        yield from _keys(value, f"{key}.")
