"""What stands in the pages: command lines that every shell reads alike, blocks that say their
language and what they need, links that lead somewhere."""

import ast
import re
import shlex
from pathlib import Path

import pytest
import yaml

from tests.composing import composed
from tests.pages import (
    HERE,
    LANGUAGES,
    PAGES,
    blocks_of,
    commands_of,
    is_printed,
    name_of,
    prose_of,
)
from tests.recipes import recipes
from tests.stocked import is_pipeline

README = (HERE / "README.md").read_text(encoding="utf-8")
PROGRAMS = ("sgdtheory", "make", "python", "pip", ".venv/bin/sgdtheory")
SPECIAL = set("[]*?")  # what bash and zsh look for files by: zsh refuses the line without any
THEORY = HERE / "docs" / "theory.md"
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
BLOCKS = [(page, block) for page, text in TEXTS.items() for block in blocks_of(text)]


def typed_in(text: str) -> list[str]:
    """The commands of consoles."""
    consoles = [block for block in blocks_of(text) if block.language == "console"]
    return [line for block in consoles for line, _ in commands_of(block)]


def command_lines(text: str) -> list[str]:
    """The commands of consoles, and spans of code that are a command line or overrides of one."""
    spans = re.findall(r"`([^`\n]+)`", prose_of(text))
    grammar = re.compile(r"\\\||…")  # a list of choices is no command line
    overrides = [span for span in spans if "=" in span and not grammar.search(span)]
    lines = [*typed_in(text), *spans]
    commands = [line for line in lines if line.split(" ")[0] in PROGRAMS]
    settings = [span for span in overrides if all("=" in word for word in span.split(" "))]
    return [*commands, *settings]


def unquoted(line: str) -> set[str]:
    """Special characters of a line that are not in quotes."""
    return SPECIAL & set(re.sub(r"'[^']*'|\"[^\"]*\"", "", line))


GUIDES = [page for page in PAGES if page not in (THEORY, HERE / "CONTRIBUTING.md")]
LINES = list(dict.fromkeys(line for page in GUIDES for line in command_lines(TEXTS[page])))
TYPED = list(dict.fromkeys(line for text in TEXTS.values() for line in typed_in(text)))
GLOBS = ("runs/train/*",)  # of what the reader has: these are meant


@pytest.mark.parametrize("line", LINES)
def test_a_command_line_is_the_same_in_every_shell(line: str) -> None:
    alike = line
    for glob in GLOBS:
        alike = alike.replace(glob, "")
    assert unquoted(alike) == set(), "put it in quotes"
    assert shlex.split(line)


def test_command_lines_are_found() -> None:
    assert len(LINES) > 30 and any("minima=" in line for line in LINES)
    assert "make demo" in " ".join(LINES)
    text = (
        "```console\n$ sgdtheory train minima=[a]\nsgdtheory says\n```\n"
        "| `sgdtheory report runs/*` | `a=[1]` | `b=[1] c=2` | `d=1\\|[2]` | `x[0]` |"
    )
    found = ["sgdtheory train minima=[a]", "sgdtheory report runs/*", "a=[1]", "b=[1] c=2"]
    assert command_lines(text) == found
    assert all(unquoted(line) for line in command_lines(text)) and not unquoted("sgdtheory 'a=[1]'")


@pytest.mark.parametrize("line", [line for line in TYPED if line.startswith("sgdtheory ")])
def test_the_words_of_a_command_compose(line: str) -> None:
    """Of those that are typed off too: a command that takes an hour is no excuse for a typing
    error."""
    words = shlex.split(line)[1:]
    if is_pipeline(words) and "--config-dir" not in words:
        assert isinstance(composed(words), dict), composed(words)


def test_every_block_says_what_it_is() -> None:
    """Its language, so that it is run, or is a file, or says what it needs."""
    for page, block in BLOCKS:
        where = f"{name_of(page)}:{block.line}"
        assert block.language in LANGUAGES, f"{where} says no language"
        assert not block.title or block.needs or block.timed, f"{where}: {block.title}"
        if block.language == "python":
            ast.parse(block.text)
        if block.language == "yaml":
            assert block.file and yaml.safe_load(block.text), where


def test_every_block_is_followed_by_a_test() -> None:
    """Tutorials and guides are typed off (tests/test_tutorials.py), the examples of CONTRIBUTING are
    written and used (tests/test_newcomer.py), `make figures` runs the page of claims."""
    from tests.test_tutorials import FOLLOWED

    ran = {"docs/theory.yaml"}
    for page, block in BLOCKS:
        is_recipe = page.name == "CONTRIBUTING.md" and block.file in recipes()
        drawn = block.language == "mermaid" and name_of(page) == "docs/architecture.md"
        listed = block.language == "text" and page not in FOLLOWED
        followed = page in FOLLOWED or page == THEORY
        assert block.needs or is_recipe or drawn or listed or followed, f"{page}:{block.line}"
    entries = yaml.safe_load((HERE / min(ran)).read_text(encoding="utf-8"))
    run = [entry[key] for entry in entries for key in ("before", "command") if key in entry]
    assert typed_in(TEXTS[THEORY]) == [f"sgdtheory {command}" for command in run]


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a 1.5 ± 0.2\n", "a   2.25 ± 0.1", True),
        ("a\n…\nz\n", "a\nb 3\nz", True),
        ("a\n…\nz\n", "b 3\nz", False),
        ("slope 1.0 over 16 of\n16 cells", "slope 0.9 over 8\nof 8 cells", True),
        ("report: runs/mlp-1a2b3c4d/x", "report: runs/mlp-00000000/x", True),
        ("connected", "not connected", False),
        ("… connected", "not connected", True),
    ],
)
def test_numbers_may_move_and_words_may_not(shown: str, printed: str, same: bool) -> None:
    assert is_printed(shown, printed) == same


def test_the_readme_is_short() -> None:
    """A reader of its first screen can say what is measured, and how to start."""
    assert len(README.splitlines()) <= 130
    first = "\n".join(README.splitlines()[:40])
    assert "make demo" in first and "sgdtheory train" in first


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", prose_of(TEXTS[page]))
    made = ("reference/keys/",)  # when the site is built
    there = [link for link in links if not link.startswith(made)]
    assert [link for link in there if not (page.parent / link).exists()] == []
