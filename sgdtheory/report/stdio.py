"""The standard streams of a command: what a terminal cannot show is spelled in ASCII, and a closed
stream swallows all."""

import codecs
import os
import re
import shlex
import sys
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from typing import TextIO

SPELLING = "sgdtheory.spelled"  # the name of `spell` among the error handlers of codecs
SPELLED = {
    "−": "-",
    "–": "-",
    "—": "-",
    "×": "x",
    "⊗": "(x)",
    "÷": "/",
    "±": "+-",
    "·": ".",
    "≤": "<=",
    "≥": ">=",
    "≪": "<<",
    "≫": ">>",
    "≈": "~",
    "≲": "<~",
    "∝": "~",
    "≠": "!=",
    "∈": " in ",
    "∞": "inf",
    "→": "->",
    "←": "<-",
    "↦": "->",
    "⟨": "<",
    "⟩": ">",
    "∇": "grad ",
    "λ": "lambda",
    "Λ": "Lambda",
    "∛": "cbrt ",
    "∦": " not || ",
    "∂": "d",
    "∫": "int ",
    "√": "sqrt ",
    "‖": "||",
    "′": "'",
    "″": "''",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "•": "*",
    "✓": "yes",
    "✗": "no",
    "°": " deg",
    "⌊": "[",
    "⌋": "]",
    "⌈": "[",
    "⌉": "]",
    "ß": "ss",
    "ø": "o",
    "Ø": "O",
    "─": "-",
    "━": "-",
    "│": "|",
    "╸": "-",
    "╺": "-",
    "«": "<<",
    "»": ">>",
    "¬": "not ",
    "§": "section ",
}


def spell(fault: UnicodeError) -> tuple[str | bytes, int]:
    """An error handler of codecs: what cannot be encoded, in ASCII, and where to go on.

    η → eta, ∇ → grad, x² → x^2, é → e; bytes of a file's name that Python could not read go out as
    they came in. Raises the fault itself where nothing is being encoded.
    """
    if not isinstance(fault, UnicodeEncodeError):
        raise fault
    text = fault.object
    end = fault.start
    while end < fault.end and "\udc80" <= text[end] <= "\udcff":
        end += 1
    if end > fault.start:
        return bytes(ord(letter) - 0xDC00 for letter in text[fault.start : end]), end
    return _beside(text, end), end + 1


def _beside(text: str, i: int) -> str:
    """The letter at i in ASCII: a Greek one apart from the letters beside it (ηh → eta h), one mark
    for all of ⁻³ (^-3)."""
    spelled = _in_ascii(text[i])
    before = text[i - 1 : i]
    after = text[i + 1 : i + 2]
    if _is_greek(text[i]):  # the space between two of them stands behind the first
        return " " * (before.isalpha() and not _is_greek(before)) + spelled + " " * after.isalpha()
    if before and _is_raised(before):
        return spelled.removeprefix("^")
    return spelled


def _is_greek(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith("GREEK ")


def _is_raised(letter: str) -> bool:
    return unicodedata.decomposition(letter).startswith("<super>")


def _in_ascii(letter: str) -> str:
    if letter.isascii() or letter in SPELLED:
        return SPELLED.get(letter, letter)
    if unicodedata.combining(letter):  # an accent of the letter before it
        return ""
    name = unicodedata.name(letter, "")
    if _is_greek(letter) and " LETTER " in name:
        word = name.partition(" LETTER ")[2].split()
        spelled = word[1 if word[0] == "FINAL" and len(word) > 1 else 0].lower()
        return spelled.capitalize() if "CAPITAL" in name else spelled
    parts = unicodedata.normalize("NFKD", letter).replace("\u2044", "/")  # ½ → 1⁄2
    if parts == letter:
        return "?"
    return ("^" if _is_raised(letter) else "") + "".join(map(_in_ascii, parts))


def ready(encoding: str | None = None) -> None:
    """Prepare the standard streams of this process: call it before anything is said.

    What was closed when the process began is opened on nothing, and its number taken, so that no
    other file gets it. `encoding`: of what is written into a file, such as a worker's log; None:
    what the terminal understands.
    """
    codecs.register_error(SPELLING, spell)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            _occupy(number)
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
        elif number and hasattr(
            stream, "reconfigure"
        ):  # not what a test or a notebook has put there
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


def harmless(thing: object) -> str:
    """A text as it may be shown, whoever wrote it: what would move the cursor, ring, colour or turn
    the direction of writing is spelled (\\x1b, \\u202e), lines stay lines. Half of a pair of
    code units stands for a byte of a file's name."""
    text = str(thing)
    if text.replace("\n", "").isprintable():  # a page of pictures has a million letters
        return text
    return "".join(
        letter if letter == "\n" or not _commands(letter) else ascii(letter)[1:-1]
        for letter in text
    )


def _commands(letter: str) -> bool:
    """Whether a letter tells the terminal something instead of being shown: joiners belong to the
    words of some scripts."""
    if letter.isascii():
        return not letter.isprintable()
    return (
        unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp")
        and letter not in "\u200c\u200d\xad"
    )


def paste(words: Iterable[str]) -> str:
    """A command line that a shell reads as these words; what cannot be shown is written $'\\x1b',
    which bash and zsh read."""
    return " ".join(_quoted(word) for word in words)


def pasted(line: object) -> str:
    """A command line that was kept, for a shell: its words are quoted anew, so that it is one
    command whoever wrote it.

    Empty where it is no command of ours.

    """
    try:
        words = shlex.split(line) if isinstance(line, str) else []
    except ValueError:  # a quotation without an end
        return ""
    if words[:1] == ["sgdtheory"]:
        return paste(words)
    return ""


def _quoted(word: str) -> str:
    if harmless(word) == word and "\n" not in word:
        return shlex.quote(word)
    return "$'" + re.sub(r"[\\']", r"\\\g<0>", word).translate(_Spelled()) + "'"


class _Spelled(dict[int, str]):
    """What `str.translate` puts in the place of letters that cannot be shown, in the spelling of
    $'…'."""

    def __missing__(self, number: int) -> str:
        letter = chr(number)
        spelled: str = f"\\U{number:08x}" if letter == "\n" or _commands(letter) else letter
        self[number] = spelled
        return spelled


def shown(text: str, stream: TextIO) -> str:
    """The text as this stream is going to show it, for whoever has to know how wide it is."""
    text = harmless(text)
    encoding = getattr(stream, "encoding", None)
    if getattr(stream, "errors", None) != SPELLING or encoding is None:
        return text
    return text.encode(encoding, SPELLING).decode(encoding, "surrogateescape")


def say(message: str) -> None:
    """A line on stderr; nobody's work fails because it cannot be read any more."""
    if sys.stderr is not None:
        try:
            print(harmless(message), file=sys.stderr, flush=True)
        except (OSError, ValueError):
            _hush(sys.stderr)


def tell(line: object) -> None:
    """A line on stdout."""
    print(harmless(line))


def all_said() -> OSError | None:
    """Have what was printed on stdout leave this process; what kept it from that."""
    try:
        sys.stdout.flush()
    except OSError as fault:
        _hush(sys.stdout)
        return fault
    return None


def _hush(stream: TextIO) -> None:
    """Have what a stream still holds go nowhere: it would be tried again at the end of the process,
    and fail again."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        stream.flush()
