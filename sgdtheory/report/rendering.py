"""Templates into pages: what may stand in them, how texts and verdicts are set, and the one script
that a page allows."""

import base64
import functools
import hashlib
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from sgdtheory.report.figures.canvas import inline
from sgdtheory.report.figures.table import Text, claimed, typeset
from sgdtheory.report.stdio import harmless, pasted
from sgdtheory.statistics.numbers import duration, in_page_sentence
from sgdtheory.statistics.rows import Row

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
VERDICTS = {
    True: ("yes", "✓", "holds"),
    False: ("no", "✗", "does not hold"),
    None: ("open", "?", "cannot be said"),
}
CODE = re.compile(r"`([^`]+)`")
ARXIV = re.compile(r"\b(\d{4}\.\d{4,5})\b")


def rendered(template: str, **content: object) -> str:
    """A page."""
    return _house().get_template(template).render(**content)


@functools.cache
def _house() -> "Environment":
    """The templates, each compiled once a process."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    house = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_readable,
    )
    house.filters |= {
        "base64": in_base64,
        "claimed": claimed,
        "duration": duration,
        "inline": inline,
        "pasted": pasted,
        "prose": prose,
        "sentence": in_page_sentence,
        "typeset": typeset,
    }
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    digest = in_base64(hashlib.sha256(script.encode()).digest())
    house.globals |= {
        "verdicts": VERDICTS,
        "why_of": why_of,
        "is_judged": is_judged,
        "script": script,
        "script_hash": f"sha256-{digest}",
    }
    return house


def _readable(thing: object) -> object:
    """Text for a page without the letters that are commands; what is markup already is left
    alone."""
    if type(thing) in (str, Text):
        return harmless(thing)
    return thing


def in_base64(content: str | bytes) -> str:
    """A file as an address has it."""
    if isinstance(content, str):
        content = content.encode()
    return base64.b64encode(content).decode("ascii")


def prose(text: str) -> str:
    """HTML of a docstring's prose: `code` set as such, numbers of arXiv as links."""
    words = CODE.sub(r"<code>\1</code>", escape(harmless(text)))
    return ARXIV.sub(r'<a href="https://arxiv.org/abs/\1">\1</a>', words)


def is_judged(claim: Row) -> bool:
    """Whether anything was expected that a verdict is on: where none is given there is a reason
    why not."""
    return claim["holds"] is not None or bool(claim["expected"] and claim.get("why"))


def why_of(claim: Row) -> str:
    """Why a claim cannot be judged, where its own sentence does not say so."""
    why = str(claim.get("why") or "")
    if claim["holds"] is not None or why in claim["statement"]:
        return ""
    return why
