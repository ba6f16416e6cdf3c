"""Every key of configs/ with its default, what it may be, and what its comment says of meaning,
unit and source: a page for the commands and one for each group."""

from collections.abc import Iterator, Mapping
from pydoc import locate
from typing import Any, NamedTuple

import yaml
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from sgdtheory.commandline.choices import commands_with, written
from sgdtheory.commandline.comments import comments_of, headings
from sgdtheory.commandline.composer import groups
from sgdtheory.commandline.hints import hints_of
from sgdtheory.commandline.targets import CONFIGS

COMMANDS = ("train", "connect", "diagnose", "sweep_temperature", "base")
SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
HIDDEN = ("_target_", "_partial_", "defaults", "hydra")


class Key(NamedTuple):
    """A row of a table."""

    name: str
    default: str
    kind: str  # what it may be, by its annotation; empty where that says nothing
    comment: str


def pages() -> dict[str, str]:
    """The markdown of each page by its place under reference/."""
    made = {f"keys/{group}.md": _group_page(group, names) for group, names in groups().items()}
    return {"keys/commands.md": _commands_page()} | made


def _commands_page() -> str:
    parts = ["# Keys of the commands", "What each command has besides the groups that it takes."]
    for name in COMMANDS:
        title = "Every command" if name == "base" else name.replace("_", "-")
        parts += [f"## {title}", _section((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))]
    return "\n\n".join([*parts, ""])


def _group_page(group: str, names: list[str]) -> str:
    taken = ", ".join(f"`{command}`" for command in commands_with(group))
    parts = [f"# Keys: {group}", f"Said as `{written(group)}` in {taken}."]
    for name in names:
        file = CONFIGS / group / f"{name}.yaml"
        parts += [f"## {name}", _section(file.read_text(encoding="utf-8"))]
    return "\n\n".join([*parts, ""])


def _section(text: str) -> str:
    """The headings of a yaml, then its keys."""
    sentences = [heading.rstrip(".:") for heading in headings(text)]
    said = " ".join(f"{_escaped(sentence)}." for sentence in sentences)
    keys = list(keys_of(text))
    if not keys:
        return said
    rows = [
        f"| `{key.name}` | {_code(key.default)} | {key.kind} | {_escaped(key.comment)} |"
        for key in keys
    ]
    table = ["| key | default | may be | meaning, unit, source |", "|---|---|---|---|", *rows]
    return f"{said}\n\n" + "\n".join(table)


def keys_of(text: str) -> Iterator[Key]:
    """The keys of a yaml that set something, in order."""
    comments = comments_of(text)
    yield from _keys(yaml.safe_load(text) or {}, "", comments)


def _keys(tree: Mapping[str, Any], prefix: str, comments: Mapping[str, str]) -> Iterator[Key]:
    target = locate(str(tree["_target_"])) if "_target_" in tree else None
    hints = hints_of(target) if callable(target) else {}
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if name in HIDDEN or value == {}:
            continue
        if isinstance(value, dict):
            yield from _keys(value, f"{key}.", comments)
        else:
            kind = kind_of(hints[name]) if name in hints else ""
            yield Key(key, _shown(value), kind, comments.get(key, ""))


def kind_of(annotation: object) -> str:
    """What an annotation allows, in words; empty where that is no plain value."""
    try:
        return _words(TypeAdapter(annotation).json_schema())
    except (PydanticUserError, KeyError):
        return ""


def _words(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(filter(None, map(_words, schema["anyOf"])))
    if "enum" in schema or "const" in schema:
        choices = schema.get("enum", [schema.get("const")])
        return ", ".join(_code(_shown(choice)) for choice in choices)
    if schema.get("type") == "array":
        return f"list of {_words(schema.get('items', {})) or 'values'}"
    bounds = [f" {sign} {schema[bound]}" for bound, sign in SIGNS.items() if bound in schema]
    return f"{schema.get('type', '')}{','.join(bounds)}"


def _shown(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=1000)
    return text.removesuffix("\n...\n").strip()


def _code(text: str) -> str:
    return "`{}`".format(text.replace("|", "\\|")) if text else ""


def _escaped(text: str) -> str:
    """A text whose signs mean nothing to markdown, in a cell of a table too."""
    for sign in "|*_":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("<", "&lt;")
