"""sgdtheory: the loss landscape and the noise of SGD. Importing it costs nothing; `load` opens a
run in a notebook."""

TYPE_CHECKING = False  # typing's own, whose import would be most of what this costs
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sgdtheory.notebook import LoadedRun

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(run: "str | Path", trust: "Sequence[str]" = (), device: str = "auto") -> "LoadedRun":
    """A finished run: `.landscape`, `.minima` [P, n], `.paths`, `.results`, `.config`.

    Raises UserError when `run` is no finished run, or when its configuration names a package that
    is not in `trust`.
    """
    from pathlib import Path

    from sgdtheory.notebook import load_run

    return load_run(Path(run), tuple(trust), device)
