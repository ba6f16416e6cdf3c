"""The pages of the project, read as a reader does who types off what stands in them.

A block of code says its language. Of `console` the lines behind `$` are commands and the others what
they print, `python` goes on where the block before it on the page ended, and what stands in `text`
below it is what it prints. A block below a line that is a path in backticks alone is that file.
`title="needs …"` stands over what cannot be run everywhere, and `title="3 minutes"` over what takes
its time.
"""

import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

from tests.conftest import call
from tests.stocked import PRINTS, is_pipeline

HERE = Path(__file__).parents[1]
PAGES = [HERE / "README.md", HERE / "CONTRIBUTING.md", *sorted((HERE / "docs").rglob("*.md"))]
RUN = ("console", "python", "text")
LANGUAGES = (*RUN, "yaml", "mermaid", "json", "csv")
FENCE = re.compile(
    r"(?:^`(?P<file>[\w./-]+\.\w+)`\n\n)?^```(?P<language>\w*)(?: +(?P<rest>[^\n]*))?\n"
    r"(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
TIMED = re.compile(r"(?:about )?[\d.]+ (?:s|seconds|min|minutes|hours?)\b")
NUMBER = re.compile(r"[-−+]?\d[\d.,]*(?:e[-+]?\d+)?(?:e-\d+)?|[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
IDENTITY = re.compile(r"-[0-9a-f]{8}\b")


class Block(NamedTuple):
    """A block of code of a page."""

    line: int  # where it begins
    language: str
    title: str
    text: str
    file: str  # its name where it is a file, else empty

    @property
    def needs(self) -> bool:
        return self.title.startswith("needs ")

    @property
    def timed(self) -> bool:
        return bool(TIMED.match(self.title))


def name_of(page: Path) -> str:
    return str(page.relative_to(HERE))


def blocks_of(text: str) -> list[Block]:
    """The blocks of a page, in order."""
    found = []
    for fence in FENCE.finditer(text):
        title = re.search(r'title="([^"]*)"', fence["rest"] or "")
        line = text.count("\n", 0, fence.start("text"))
        said = title[1] if title else ""
        found.append(Block(line, fence["language"], said, fence["text"], fence["file"] or ""))
    return found


def prose_of(text: str) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", text)


def commands_of(block: Block) -> Iterator[tuple[str, str]]:
    """The commands of a console with what is printed below each; comments are none of it."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        line, _, printed = part.partition("\n")
        yield re.sub(r"\s+# .*", "", line), printed


def shape_of(printed: str) -> str:
    """What is printed, but for numbers, identities, drawn lines and where lines are broken."""
    words = NUMBER.sub("#", IDENTITY.sub("-#", printed))
    words = words.replace("# ± #", "#")  # of two that are equal there is no error
    return " ".join(re.sub(r"[─═│]+", " ", words).split())


def is_printed(shown: str, printed: str) -> bool:
    """Whether this is what was printed: numbers may move, words may not; … stands for anything."""
    parts = [re.escape(part.strip()) for part in shape_of(shown).split("…")]
    return re.fullmatch(" ?.* ?".join(parts), shape_of(printed)) is not None


class Reader:
    """Somebody who types off a page in an empty directory; what is printed is compared."""

    def __init__(self) -> None:
        self.names: dict[str, object] = {"__name__": "page"}
        self.printed = ""

    def follow(self, block: Block) -> None:
        """Do what stands in a block; AssertionError where it does something else."""
        if block.needs:
            return
        if block.file:
            file = Path(block.file)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            for line, shown in commands_of(block):
                compare(shown, self.typed(line), line)
        elif block.language == "python":
            out = io.StringIO()
            with redirect_stdout(out):
                exec(compile(block.text, f"line {block.line}", "exec"), self.names)
            self.printed = out.getvalue()
        elif block.language == "text" and self.printed:
            compare(block.text, self.printed, f"line {block.line}")
            self.printed = ""

    def typed(self, line: str) -> str:
        """What a command line prints."""
        program, *words = shlex.split(line)
        if program != "sgdtheory" or set("|<>*;&") & set(line):
            return shell(line)
        alone = (
            ["executor.workers=1"] if is_pipeline(words) and not set(PRINTS) & set(words) else []
        )
        said = call(*words, *alone)
        assert said.code == 0, f"{line}: {said.err}"
        return said.out


def compare(shown: str, printed: str, what: str) -> None:
    if shown.strip():
        assert is_printed(shown, printed), f"{what} prints:\n{printed}"


def shell(line: str) -> str:
    """What bash prints, with the command as this Python has it."""
    command = f'sgdtheory() {{ "{sys.executable}" -m sgdtheory "$@"; }}\npython() {{ "{sys.executable}" "$@"; }}\n'
    done = subprocess.run(["bash", "-ec", command + line], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, f"{line}: {done.stderr}"
    return done.stdout
