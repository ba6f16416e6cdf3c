"""Which files a word stands for."""

import re
from glob import glob, has_magic
from pathlib import Path

from sgdtheory.errors import UserError
from sgdtheory.pipelines.checkpoints.words import TOLD

NUMBER = re.compile(r"([0-9]+)")
SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".th")
WHOLE_MODELS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def places(word: str) -> list[Path]:
    """The files and folders that a word stands for: itself, `~` and a glob expanded, in the order
    of their names, numbers in them by their size.

    Raises UserError where there is nothing.

    """
    path = Path(word).expanduser()
    if path.exists():
        return [path]
    is_glob = has_magic(str(path))
    fitting = glob(str(path), recursive=True) if is_glob else []  # noqa: PTH207
    names = sorted(fitting, key=_by_number)
    if not names:
        what = "no such run or file"
        if is_glob:
            what = "no file fits it"
        raise UserError(f"minima={word}: {what}; `sgdtheory status` lists the runs")
    return [Path(name) for name in names]


def _by_number(name: str) -> tuple[list[str | int], str]:
    """ep2 before ep10."""
    parts = NUMBER.split(name)  # letters and digits in turn, letters first
    return [int(part) if k % 2 else part for k, part in enumerate(parts)], name


def _of_path(path: Path) -> tuple[list[str | int], str]:
    return _by_number(path.name)


def file_in(folder: Path) -> Path:
    """The one checkpoint that a folder holds: a whole model by its usual names, or its only file of
    weights."""
    for name in WHOLE_MODELS:
        model = folder / name
        if model.is_file():
            return model
    inside = [path for path in sorted(folder.iterdir(), key=_of_path) if path.is_file()]
    files = [path for path in inside if path.name.endswith(".index.json")]
    files = files or [path for path in inside if path.suffix in SUFFIXES]
    if len(files) == 1:
        return files[0]
    if not files:
        suffixes = ", ".join(SUFFIXES)
        raise UserError(f"{folder} holds no run and no checkpoint ({suffixes})")
    count = len(files)
    names = ", ".join(path.name for path in files[:TOLD])
    if count > TOLD:
        names += f" and {count - TOLD} more"
    pattern = folder / f"*{files[0].suffix}"
    raise UserError(
        f"{folder} holds {count} checkpoints ({names}): name one, or take all "
        f"with 'minima=\"{pattern}\"'"
    )
