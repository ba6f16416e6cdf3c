"""What tables are made of, as they stand in results.json. No numpy at import."""

from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]  # column → number, text or null
Rows: TypeAlias = list[Row]


def error_of(results: Row) -> str:
    """What the errors in a run's results are called, as in "training error".

    >>> error_of({"scores": {"unit": "", "error": "1 − R²"}}), error_of({})
    ('1 − R²', 'error')
    """
    scores = results.get("scores") or {}
    return str(scores.get("error", "error"))
