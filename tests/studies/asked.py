"""A study as its user asks for it: the command, and what its run has found."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import Said

Command = Callable[..., Said]


def results(command: Command, *words: str) -> tuple[Path, dict[str, Any]]:
    """The directory of a run of a study, and its results.json."""
    said = command("study", *words, "--quiet")
    assert said.code == 0, said.err
    path = Path(said.out.splitlines()[-1].removeprefix("report: ")).parent
    return path, json.loads((path / "results.json").read_text(encoding="utf-8"))


def verdicts(found: dict[str, Any]) -> dict[str, bool | None]:
    """Whether each claim holds."""
    return {claim["name"]: claim["holds"] for claim in found["claims"]}
