"""What a diagnostic has answered, somebody else's above all: looked at before it is taken."""

from collections.abc import Mapping, Sequence

from sgdtheory.errors import RunError
from sgdtheory.statistics.measured import Measured

EXPECTED = (
    "it must return a list of one dict {column: Measured(value)} for each point; an example stands "
    'whole in CONTRIBUTING.md, "A diagnostic"'
)


def rows_answered(answer: object, name: str, points: int) -> Sequence[Mapping[str, Measured]]:
    """The rows of so many points as the diagnostic of this name has given them; RunError, in one
    line, where they are none."""
    if not isinstance(answer, Sequence) or isinstance(answer, str):
        raise RunError(f"diagnostic.{name} returned a {_kind(answer)}; {EXPECTED}")
    if len(answer) != points:
        raise RunError(
            f"diagnostic.{name} returned {len(answer)} rows for {points} points; {EXPECTED}"
        )
    for row in answer:
        if not isinstance(row, Mapping):
            raise RunError(f"diagnostic.{name} returned a list of {_kind(row)}; {EXPECTED}")
        for column, number in row.items():
            if not isinstance(number, Measured):
                raise RunError(
                    f"diagnostic.{name} returned a {_kind(number)} as {column!r}; {EXPECTED}"
                )
    return answer


def _kind(thing: object) -> str:
    return type(thing).__name__
