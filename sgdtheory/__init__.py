"""sgdtheory: the loss landscape and the noise of SGD. Importing it costs nothing.

For a module, data and a loss of one's own: `landscape`, `connect`, `sweep_temperature`, `diagnose`.
Of runs: `load` opens one, `table` compares many.
"""

from time import time as _now

IMPORTED = _now()  # no code of this package that runs here was read from its file before

TYPE_CHECKING = False  # typing's own, whose import would be most of what this costs
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from polars import DataFrame
    from torch import Tensor

    from sgdtheory.landscapes.network import Network
    from sgdtheory.losses.loss import Loss
    from sgdtheory.losses.named import LossName
    from sgdtheory.notebook.joined import Joined
    from sgdtheory.notebook.loaded_run import LoadedRun
    from sgdtheory.notebook.numbers import Numbers
    from sgdtheory.notebook.own_landscape import Own, Split
    from sgdtheory.notebook.points import Point
    from sgdtheory.notebook.swept import Swept
    from sgdtheory.protocol import Landscape

__version__ = "0.2.0"
__all__ = [
    "__version__",
    "connect",
    "diagnose",
    "landscape",
    "load",
    "sweep_temperature",
    "table",
]


def landscape(
    module: "Own",
    train: "Split",
    test: "Split | None" = None,
    loss: "Loss | LossName | Callable[[Tensor, Tensor], Tensor]" = "cross_entropy",
    weight_decay: float = 1e-3,
    parameters: str | None = None,
    entry: str | int | None = None,
    device: str = "cpu",
) -> "Network":
    """L(θ) = mean loss of the training examples + ½λ|θ|², λ the `weight_decay`, θ [n] the trainable
    parameters of a module.

    `module`: a torch.nn.Module, whose frozen parameters and buffers are kept, or a function that
    makes one, called with those of shape= and classes= that it takes. `train`, `test`: (inputs
    [N, …], targets [N, …]) as tensors or arrays, or a Dataset of such pairs; integer targets are
    classes, floating ones numbers; where there is no `test` the training set is called so. `loss`:
    by name, or a function (outputs, targets) → [b]. `parameters`: a regular expression of names;
    the others are constants. `entry`: which one of what the module returns. `device`: cpu, cuda,
    cuda:1, or auto.

    >>> import torch
    >>> inputs, targets = torch.randn(60, 4), torch.arange(60) % 3
    >>> own = landscape(torch.nn.Linear(4, 3), (inputs, targets))
    >>> own.dim, own.losses(torch.zeros(1, 15)).shape
    (15, torch.Size([1]))

    Raises UserError for what does not fit together.
    """
    from sgdtheory.notebook.own_landscape import own_landscape

    return own_landscape(module, train, test, loss, weight_decay, parameters, entry, device)


def connect(
    landscape: "Landscape",
    a: "Point",
    b: "Point",
    words: "str | Sequence[str]" = (),
    run: "str | Path | None" = None,
    quiet: bool | None = None,
) -> "Joined":
    """The path between two points by AutoNEB (Draxler et al. 2018, 1803.00885), and the other ways
    beside: `.barrier` ± its error, `.points(t)`, `.profile`, `.plot()`.

    `landscape`: of `sgdtheory.landscape`, or any class with `dim`, `init`, `sample` and `losses`.
    The points are vectors [n], of networks modules or state dicts too. `words`: overrides as
    `sgdtheory connect` takes them, such as "seed=1", which say how it is done; on what is said by
    the landscape and the points. `run`: a directory that is left behind, and where what is done
    already stays; None: nothing is written. `quiet` None: progress is told at a terminal and in a
    notebook.
    """
    from sgdtheory.notebook.joined import joined

    return joined(landscape, a, b, words, run, quiet)


def sweep_temperature(
    landscape: "Landscape",
    minimum: "Point",
    learning_rates: "Numbers | None" = None,
    batch_sizes: "Numbers | None" = None,
    words: "str | Sequence[str]" = (),
    run: "str | Path | None" = None,
    quiet: bool | None = None,
) -> "Swept":
    """The temperature of SGD's noise around the minimum below a point, against η/2b(1−μ) (Chaudhari
    & Soatto 2018, 1710.11029): `.table`, `.fit`, `.plot()`.

    Rates and batch sizes are numbers, one alone or any sequence. None: those of the command, 16
    cells of minutes each on a network of one's own; "precision=0.1" and "replicas=16" among the
    `words` make it quick. `words`, `run`, `quiet`: as in `connect`. All is done in this process.
    """
    from sgdtheory.notebook.swept import swept

    return swept(landscape, minimum, learning_rates, batch_sizes, words, run, quiet)


def diagnose(
    landscape: "Landscape",
    points: "Point | Sequence[Point]",
    diagnostics: "str | Sequence[str]" = (),
    words: "str | Sequence[str]" = (),
    run: "str | Path | None" = None,
    quiet: bool | None = None,
) -> "DataFrame":
    """A row for each point, vectors [P, n], modules or state dicts: scores, gradient norm, and the
    columns of diagnostics such as spectrum, noise and sharpness. One point, or one diagnostic, may
    stand alone. `words`, `run`: as in `connect`.
    """
    from sgdtheory.notebook.diagnosed import diagnosed

    return diagnosed(landscape, points, diagnostics, words, run, quiet)


def load(run: "str | Path", trust: "str | Sequence[str]" = (), device: str = "auto") -> "LoadedRun":
    """A finished run: `.landscape`, `.minima` [P, n], `.paths`, `.results`, `.config`.

    Raises UserError when `run` is no finished run, or when its configuration names a package that
    is not in `trust`.
    """
    from pathlib import Path

    from sgdtheory.notebook.loaded_run import load_run

    packages = (trust,) if isinstance(trust, str) else tuple(trust)
    return load_run(Path(run).absolute(), packages, device)  # files are read when they are asked


def table(runs: "str | Path | Sequence[str | Path]") -> "DataFrame":
    """A row for each run, folders or globs of them: command, seed, overrides, whether its claim
    holds, and its headline number. Copies of a run have no row, and are told."""
    from pathlib import Path

    from sgdtheory.notebook.many_runs import table_of

    return table_of([runs] if isinstance(runs, str | Path) else runs)
