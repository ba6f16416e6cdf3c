"""How a number is written: one function for each place that it may stand in. No numpy at import."""

import re
from math import floor, isfinite, log10
from typing import TypeGuard

# as `in_cell` writes it, and per cent
NUMBER = re.compile(r"\(?-?[\d,]+(\.\d+)?( ± [\d,]+(\.\d+)?\)?)?(e-?\d+)?( [^\W\d]+| %)?")
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MOST_DECIMALS = 12
SMALL = 1e-4  # below, a number is written with a power of ten


def in_sentence(value: float, stderr: float | None = None) -> str:
    """A number to four digits, or with its standard error to two digits of the error; of very small
    ones a power of ten.

    >>> in_sentence(0.25), in_sentence(12345.6, 123.4), in_sentence(4.21e-5, 3e-6)
    ('0.25', '12346 ± 123', '(4.21 ± 0.30)e-5')
    """
    if not _is_error(stderr):
        return _tidy(f"{value:.4g}")
    if max(abs(value), stderr) < SMALL:
        return in_cell(value, stderr)
    decimals = max(0, _decimals(stderr))
    return _with_error(value, stderr, decimals)


def in_cell(value: float, stderr: float | None = None, small: float = SMALL) -> str:
    """The same in a table: thousands are set apart, and of numbers that are very large, or below
    `small`, a power of ten.

    >>> in_cell(12345.6, 123.4), in_cell(1.234e-7, 2.1e-8), in_cell(1234)
    ('12,350 ± 120', '(1.23 ± 0.21)e-7', '1,234')
    """
    if not _is_error(stderr) or not isfinite(value):
        if isinstance(value, int):
            return f"{value:,}"
        if 0 < abs(value) < small:
            return _tidy(f"{value:.3e}")
        return _tidy(f"{value:.4g}")
    stderr = float(f"{stderr:.1e}")
    largest = max(abs(value), stderr)
    power = floor(log10(largest))
    if largest >= small and power < 6:
        return _fixed(value, stderr)
    unit = 10**power
    scaled = _fixed(value / unit, stderr / unit)
    return f"({scaled})e{power}"


def _is_error(stderr: float | None) -> TypeGuard[float]:
    return stderr is not None and isfinite(stderr) and stderr > 0


def _decimals(stderr: float) -> int:
    """Decimals that show two digits of an error; below zero where its tens are rounded away."""
    power = floor(log10(stderr))
    return min(MOST_DECIMALS, 1 - power)


def _fixed(value: float, stderr: float) -> str:
    decimals = _decimals(stderr)
    if decimals < 0:
        value = round(value, decimals)
        stderr = round(stderr, decimals)
        return f"{value:,.0f} ± {stderr:,.0f}"
    return _with_error(value, stderr, decimals)


def _with_error(value: float, stderr: float, decimals: int) -> str:
    number = f"{value:.{decimals}f}"
    error = f"{stderr:.{decimals}f}"
    return f"{number} ± {error}"


def _tidy(text: str) -> str:
    """1e-07 as 1e-7, 1e+08 as 1e8, 1.200e-7 as 1.2e-7."""
    text = re.sub(r"(\.\d*?)0+e", _without_zeros, text)
    return re.sub(r"e\+?(-?)0*(\d)", r"e\1\2", text)


def _without_zeros(decimals: re.Match[str]) -> str:
    left = decimals[1].rstrip(".")
    return f"{left}e"


def on_page(text: str) -> str:
    """A cell that is a number, with its unit or without, with a true minus, and × 10⁻⁷ for e-7;
    other text as it is.

    >>> on_page("-1.2 nats"), on_page("3.4e-7"), on_page("e-3")
    ('−1.2 nats', '3.4 × 10⁻⁷', 'e-3')
    """
    if not NUMBER.fullmatch(text):
        return text
    text = re.sub(r"^(\(?)-(?=\d)", r"\1−", text)
    return re.sub(r"(?<=[\d)])e(-?\d+)(?= |$)", _power_of_ten, text)


def in_page_sentence(text: str) -> str:
    """Prose whose numbers have a true minus and × 10⁻⁷ for e-7; names that look like numbers are
    left alone.

    >>> in_page_sentence("by -0.2, (4.2 ± 0.3)e-5 nats; net-1e-5 of 0-1")
    'by −0.2, (4.2 ± 0.3) × 10⁻⁵ nats; net-1e-5 of 0-1'
    """
    text = re.sub(r"(?<![\w.-])(\d[\d.]*|\([\d. ±-]+\))e(-?\d+)\b", _times_power, text)
    return re.sub(r"(?<![^\s(±])-(?=\d)", "−", text)


def _times_power(number: re.Match[str]) -> str:
    digits, exponent = number.groups()
    raised = str(int(exponent)).translate(RAISED)
    return f"{digits} × 10{raised}"


def _power_of_ten(exponent: re.Match[str]) -> str:
    raised = exponent[1].translate(RAISED)
    return f" × 10{raised}"


def on_axis(value: float) -> str:
    """A tick: to four digits, with a true minus, and a power of ten as 2e-5.

    >>> on_axis(-0.25), on_axis(2e-5)
    ('−0.25', '2e-5')
    """
    tick = _tidy(f"{value:.4g}")
    with_minus = tick.replace("-", "−")
    return with_minus.replace("e−", "e-")


def on_log_axis(value: float) -> str:
    """A tick of a logarithmic axis.

    >>> on_log_axis(0.1), on_log_axis(1e-5)
    ('0.1', '1e-5')
    """
    return _tidy(f"{value:g}")


def in_short(value: float, digits: int = 3) -> str:
    """A number to so many significant digits, in a label or beside a word.

    >>> in_short(0.123456), in_short(123456.0)
    ('0.123', '1.23e+05')
    """
    return f"{value:.{digits}g}"


def rounded(value: float, digits: int = 3) -> float:
    """The number to so many significant digits, to be written beside others.

    >>> rounded(0.123456)
    0.123
    """
    return float(in_short(value, digits))


def in_full(number: float) -> str:
    """The shortest text that reads back as this number, so that names made of it are unique.

    >>> in_full(0.25), in_full(1 / 3)
    ('0.25', '0.3333333333333333')
    """
    short = f"{number:g}"
    if float(short) == number:
        return short
    return repr(float(number))


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(41), duration(480), duration(11520)
    ('41 s', '8 min', '3.2 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    if hours < 48:
        return f"{hours:.1f} h"
    return f"{hours / 24:.1f} days"


def size(count: float) -> str:
    """Bytes as people say them.

    >>> size(123456)
    '123 kB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
