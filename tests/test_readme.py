"""The command lines of README and guides, as a shell reads them."""

import re
import shlex
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]
README = (HERE / "README.md").read_text(encoding="utf-8")
GUIDES = [HERE / "docs" / f"{name}.md" for name in ("cluster", "keys", "measured", "transformers")]
PROGRAMS = ("sgdtheory", "make", "python", "pip", ".venv/bin/sgdtheory")
SPECIAL = set(
    "[]*?"
)  # what bash and zsh look for files by: zsh refuses the line where it finds none


def command_lines(text: str) -> list[str]:
    """Lines of code that begin with a program or a prompt, and spans of code that are a command
    line or overrides of one."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [
        line.removeprefix("$ ").split(" #")[0] for block in blocks for line in block.splitlines()
    ]
    spans = re.findall(
        r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    )
    grammar = re.compile(r"\\\||…")  # a list of choices is no command line
    overrides = [span for span in spans if "=" in span and not grammar.search(span)]
    commands = [line for line in [*lines, *spans] if line.split(" ")[0] in PROGRAMS]
    return [
        *commands,
        *(span for span in overrides if all("=" in word for word in span.split(" "))),
    ]


def unquoted(line: str) -> set[str]:
    """Special characters of a line that are not in quotes."""
    return SPECIAL & set(re.sub(r"'[^']*'|\"[^\"]*\"", "", line))


TEXTS = [README, *(guide.read_text(encoding="utf-8") for guide in GUIDES)]
LINES = list(dict.fromkeys(line for text in TEXTS for line in command_lines(text)))


@pytest.mark.parametrize("line", LINES)
def test_a_command_line_is_the_same_in_every_shell(line: str) -> None:
    assert unquoted(line) == set(), "put it in quotes"
    assert shlex.split(line)


def test_command_lines_are_found() -> None:
    assert (
        len(LINES) > 30
        and any("minima=" in line for line in LINES)
        and "make demo" in " ".join(LINES)
    )
    text = (
        "```\n$ sgdtheory train minima=[a]\n```\n| `sgdtheory report runs/*` | `a=[1]` | "
        "`b=[1] c=2` | `d=1\\|[2]` | `x[0]` |"
    )
    assert command_lines(text) == [
        "sgdtheory train minima=[a]",
        "sgdtheory report runs/*",
        "a=[1]",
        "b=[1] c=2",
    ]
    assert all(unquoted(line) for line in command_lines(text)) and not unquoted("sgdtheory 'a=[1]'")


def test_the_readme_is_short() -> None:
    """A reader of its first screen can say what is measured, and how to start."""
    assert len(README.splitlines()) <= 130
    first = "\n".join(README.splitlines()[:40])
    assert "make demo" in first and "sgdtheory train" in first


@pytest.mark.parametrize("file", [HERE / "README.md", *sorted((HERE / "docs").glob("*.md"))])
def test_links_lead_somewhere(file: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", file.read_text(encoding="utf-8"))
    assert [link for link in links if not (file.parent / link).exists()] == []
