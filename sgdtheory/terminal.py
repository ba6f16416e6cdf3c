"""The standard streams of a command: what a terminal cannot show is spelled in ASCII, and a closed stream swallows all."""

import codecs
import os
import sys
import unicodedata
from contextlib import suppress
from typing import TextIO

SPELLING = "sgdtheory.spelled"  # the name of `spell` among the error handlers of codecs
SPELLED = {
    "−": "-", "–": "-", "—": "-", "×": "x", "÷": "/", "±": "+-", "·": ".", "≤": "<=", "≥": ">=", "≪": "<<", "≫": ">>",
    "≈": "~", "≲": "<~", "∝": "~", "≠": "!=", "∈": " in ", "∞": "inf", "→": "->", "←": "<-", "↦": "->", "⟨": "<", "⟩": ">",
    "∇": "grad ", "∂": "d", "∫": "int ", "√": "sqrt ", "‖": "||", "′": "'", "″": "''", "“": '"', "”": '"', "‘": "'", "’": "'",
    "•": "*", "✓": "yes", "✗": "no", "°": " deg", "⌊": "[", "⌋": "]", "⌈": "[", "⌉": "]", "ß": "ss", "ø": "o", "Ø": "O",
    "─": "-", "━": "-", "│": "|", "╸": "-", "╺": "-", "«": "<<", "»": ">>", "¬": "not ", "§": "section ",
}  # fmt: skip


def spell(fault: UnicodeError) -> tuple[str | bytes, int]:
    """An error handler of codecs: what cannot be encoded, in ASCII, and where to go on.

    η → eta, ∇ → grad, x² → x^2, é → e; bytes of a file's name that Python could not read go out as they came in. Raises the
    fault itself where nothing is being encoded.
    """
    if not isinstance(fault, UnicodeEncodeError):
        raise fault
    if all("\udc80" <= letter <= "\udcff" for letter in fault.object[fault.start : fault.end]):
        return bytes(ord(letter) - 0xDC00 for letter in fault.object[fault.start : fault.end]), fault.end
    return "".join(map(_in_ascii, fault.object[fault.start : fault.end])), fault.end


def _in_ascii(letter: str) -> str:
    if letter.isascii() or letter in SPELLED:
        return SPELLED.get(letter, letter)
    if unicodedata.combining(letter):  # an accent of the letter before it
        return ""
    name, kind = unicodedata.name(letter, ""), unicodedata.decomposition(letter)
    if name.startswith("GREEK ") and " LETTER " in name:
        word = name.partition(" LETTER ")[2].split()
        spelled = word[1 if word[0] == "FINAL" and len(word) > 1 else 0].lower()
        return spelled.capitalize() if "CAPITAL" in name else spelled
    parts = unicodedata.normalize("NFKD", letter).replace("\u2044", "/")  # ½ → 1⁄2
    if parts == letter:
        return "?"
    return ("^" if kind.startswith("<super>") else "") + "".join(map(_in_ascii, parts))


def ready(encoding: str | None = None) -> None:
    """Prepare the standard streams of this process: call it before anything is said.

    What was closed when the process began is opened on nothing, and its number taken, so that no other file gets it.
    `encoding`: of what is written into a file, such as a worker's log; None: what the terminal understands.
    """
    codecs.register_error(SPELLING, spell)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            _occupy(number)
            setattr(sys, name, open(os.devnull, "r" if number == 0 else "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif number and hasattr(stream, "reconfigure"):  # not what a test or a notebook has put there
            stream.reconfigure(encoding=encoding, errors=SPELLING)


def _occupy(number: int) -> None:
    """Have a number of a file that is not open lead nowhere, in children too."""
    try:
        os.fstat(number)
    except OSError:
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere != number:
            os.dup2(nowhere, number)
            os.close(nowhere)
        os.set_inheritable(number, True)


def shown(text: str, stream: TextIO) -> str:
    """The text as this stream is going to show it, for whoever has to know how wide it is."""
    encoding = getattr(stream, "encoding", None)
    if getattr(stream, "errors", None) != SPELLING or encoding is None:
        return text
    return text.encode(encoding, SPELLING).decode(encoding, "replace")


def say(message: str) -> None:
    """A line on stderr; nobody's work fails because it cannot be read any more."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(message, file=sys.stderr, flush=True)


def all_said() -> OSError | None:
    """Have what was printed leave this process; what kept it from that, and then nothing more is tried at the end."""
    try:
        sys.stdout.flush()
    except OSError as fault:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return fault
    return None
