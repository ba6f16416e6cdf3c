"""What this package does on a card, in at most eight minutes: docs/gpu.json and docs/gpu.md.

The tests that need a card; ResNet-20's step beside a bare loop, eager, compiled, as a CUDA graph
and in bfloat16; 64 MLPs in one cloud; a sweep on the card against the same on the CPU; with a pack
of CIFAR-10 two minima of ResNet-20, the path between them and a grid of temperatures.

`--check` goes the same way in small on whatever is there, to see that the script itself works, and
writes nothing into docs/.
"""

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from math import sqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer
from bench import DEVICE, alternate, cifar_shaped, descend, sgd
from torch.nn import functional as F

from sgdtheory import __version__
from sgdtheory.data.digits import digits
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.precision import Precision
from sgdtheory.models.mlp import MLP
from sgdtheory.models.resnet import ResNet
from sgdtheory.rng import stream

HERE = Path(__file__).resolve().parents[1]
BUDGET = 480.0  # seconds; a part that would begin later is left out, and said to be


@dataclass
class Row:
    """One number, and what stands beside it."""

    what: str
    value: float | str
    unit: str = ""
    beside: str = ""


@dataclass
class Size:
    """How much of everything: whole on a card, small for a check."""

    steps: int = 50
    rounds: int = 5
    batch: int = 128
    replicas: int = 64
    training: int = 4000
    compiled: bool = True
    sweep: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    grid: tuple[str, ...] = ("sweep.batch_size=[32,128]", "replicas=8", "steps=2000")


SMALL = Size(
    steps=1,
    rounds=1,
    batch=16,
    replicas=4,
    training=20,
    compiled=False,
    sweep=("sweep.batch_size=[32]", "replicas=8", "steps=400"),
    path=(
        *("autoneb.steps=4", "autoneb.last_steps=4", "autoneb.retries=0", "plane=0"),
        *("baselines.gradients=4", "baselines.dense=3"),
    ),
    grid=("sweep.batch_size=[32]", "replicas=4", "steps=100"),
)


def tests(size: Size, at: Path, pack: Path | None) -> list[Row]:
    """The tests that are marked gpu."""
    words = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
    done = subprocess.run(words, cwd=HERE, capture_output=True, encoding="utf-8")
    last = done.stdout.strip().splitlines()[-1]
    if done.returncode:
        raise SystemExit(done.stdout)
    return [Row("tests marked gpu", last)]


def steps(size: Size, at: Path, pack: Path | None) -> list[Row]:
    """ResNet-20's step on CIFAR-shaped images, and a bare loop of the same module."""
    data = cifar_shaped()
    model = partial(ResNet, depth=20, width=16)
    made = partial(Network, model, data, weight_decay=1e-4, device=DEVICE)
    precisions: tuple[Precision, Precision] = ("full", "bf16")
    eager, mixed = (made(precision=each) for each in precisions)
    landscapes = {"eager": eager, "bf16": mixed.in_training(torch.float32)}
    if size.compiled:
        landscapes["compiled"] = made(compile=True)
        landscapes["CUDA graph"] = made(compile="cuda_graphs")
    start = eager.init(1, stream(0, "init"))
    contenders: dict[str, Callable[[], object]] = {}
    for name, landscape in landscapes.items():
        contenders[name] = partial(descend, sgd(size.steps, size.batch), landscape, start)
    contenders["bare loop"] = bare_loop(data, size)
    times = alternate(contenders, size.rounds)
    rows = []
    for name, seconds in times.items():
        each = seconds / size.steps
        beside = f"{each / (times['bare loop'] / size.steps):.2f} of the bare loop's"
        images = f"{size.batch / each:,.0f} images/s, {beside}"
        rows.append(Row(f"ResNet-20, batch {size.batch}, {name}", 1e3 * each, "ms a step", images))
    return rows


def bare_loop(data: Any, size: Size) -> Callable[[], object]:
    """Forward, backward and update of the same module on images that lie on the device."""
    module = ResNet(data.shape, 10, depth=20, width=16).to(DEVICE)
    module = module.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    images = data.scaled(data.train_inputs[: size.batch], torch.float32)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = data.train_targets[: size.batch]

    def bare() -> None:
        for _ in range(size.steps):
            optimiser.zero_grad(set_to_none=True)
            F.cross_entropy(module(images), labels).backward()
            optimiser.step()

    return bare


def replicas(size: Size, at: Path, pack: Path | None) -> list[Row]:
    """Many MLPs in one cloud, and one."""
    landscape = Network(MLP, digits().to(DEVICE), device=DEVICE)
    cloud = landscape.init(size.replicas, stream(0, "init"))
    optimiser = sgd(4 * size.steps, 16)
    contenders = {
        "all": partial(descend, optimiser, landscape, cloud),
        "one": partial(descend, optimiser, landscape, cloud[:1]),
    }
    times = alternate(contenders, size.rounds)
    each = {name: 1e3 * spent / optimiser.steps for name, spent in times.items()}
    beside = f"one alone {each['one']:.3f} ms"
    return [Row(f"{size.replicas} MLPs in one cloud, batch 16", each["all"], "ms a step", beside)]


def temperatures(size: Size, at: Path, pack: Path | None) -> list[Row]:
    """The default sweep on this device and on the CPU: the same T within the errors."""
    cells = {}
    for device in dict.fromkeys((DEVICE, "cpu")):
        run = at / f"sweep-{device}"
        command("sweep-temperature", f"device={device}", *size.sweep, run=run)
        cells[device] = results(run)["cells"]
    here, cpu = cells[DEVICE], cells["cpu"]
    distances = []
    for one, other in zip(here, cpu, strict=True):
        ours, theirs = (cell["temperature"]["excess_loss"] for cell in (one, other))
        if None not in (ours["value"], theirs["value"], ours["stderr"], theirs["stderr"]):
            error = sqrt(ours["stderr"] ** 2 + theirs["stderr"] ** 2)
            distances.append(abs(ours["value"] - theirs["value"]) / error)
    if not distances:
        return [Row("default sweep, T here against the CPU's", "no cell has a T on both")]
    told = f"largest distance of {len(distances)} cells"
    return [Row("default sweep, T here against the CPU's", max(distances), "standard errors", told)]


def valley(size: Size, at: Path, pack: Path | None) -> list[Row]:
    """Two minima of ResNet-20 on CIFAR-10, and the path between them."""
    minima = at / "minima"
    words = [*pictures(pack), "minima=2", f"sgd.steps={size.training}"]
    seconds = command("train", *words, run=minima)
    rows = [Row("train, two minima", seconds, "s")]
    spent = command("connect", f"minima={minima}", *size.path, run=at / "path")
    (edge,) = results(at / "path")["edges"]
    barrier = edge["barrier"]
    line = edge["linear"]["train_loss"]
    beside = f"± {barrier['stderr']:.2g}, straight line {line:.3f}, {spent:.0f} s"
    rows.append(Row("connect, barrier", barrier["value"], "nats", beside))
    return rows


def grid(size: Size, at: Path, pack: Path | None) -> list[Row]:
    """Temperatures of ResNet-20 over two batch sizes and three learning rates."""
    rates = "sweep.learning_rate=[0.005,0.01,0.02]"
    words = [*pictures(pack), rates, *size.grid]
    seconds = command("sweep-temperature", *words, run=at / "grid")
    stationary = sum(cell["stationary"] is True for cell in results(at / "grid")["cells"])
    return [Row("grid of temperatures", seconds, "s", f"{stationary} cells stationary")]


def pictures(pack: Path | None) -> list[str]:
    """Model and data: ResNet-20 on the pack, in a check without one a small CNN on digits."""
    if pack is None:
        small = ("model.width=2", "model.depth=1", "model.dense=8", "data.limit=200")
        return ["model=cnn", *small]
    return ["model=resnet20", "data=images", f"data.path={pack}"]


def command(name: str, *words: str, run: Path) -> float:
    """The seconds that `sgdtheory NAME WORDS` takes in a directory of its own."""
    began = time.monotonic()
    place = [f"run.dir={run}", f"run.root={run.parent}"]
    device = [] if any(word.startswith("device=") for word in words) else [f"device={DEVICE}"]
    code = "from sgdtheory.entry import main; main()"
    line = [sys.executable, "-c", code, name, *words, *place, *device, "--quiet"]
    subprocess.run(line, check=True, cwd=HERE)
    return time.monotonic() - began


def results(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "results.json").read_text(encoding="utf-8"))
    return found


PARTS = (tests, steps, replicas, temperatures, valley, grid)
OF_PACK = (valley, grid)


def table(rows: list[Row], facts: dict[str, str]) -> str:
    """The page of what was found."""
    about = ", ".join(f"{name} {value}" for name, value in facts.items())
    lines = [
        "# On a card",
        "",
        f"Found by `make gpu` ({about}).",
        "",
        "| what | found | beside it |",
        "|---|---|---|",
    ]
    for row in rows:
        value = f"{row.value:.4g}" if isinstance(row.value, float) else row.value
        lines.append(f"| {row.what} | {value} {row.unit} | {row.beside} |")
    return "\n".join(lines) + "\n"


def walk(size: Size, pack: Path | None, check: bool) -> list[Row]:
    """All parts for which there is time and what they need."""
    began = time.monotonic()
    rows = []
    for part in PARTS:
        about = (part.__doc__ or "").splitlines()[0]
        print(about, flush=True)
        if part in OF_PACK and pack is None and not check:
            rows.append(Row(about, "left out", "", "give --pack, an .npz of CIFAR-10"))
            continue
        if not check and time.monotonic() - began > BUDGET:
            rows.append(Row(about, "left out", "", "eight minutes were over"))
            continue
        with TemporaryDirectory() as place:
            rows += part(size, Path(place), pack)
    return rows


def main(
    check: Annotated[bool, typer.Option(help="in small, wherever this is")] = False,
    pack: Annotated[Path | None, typer.Option(help=".npz pack of CIFAR-10")] = None,
) -> None:
    """What this package does on a card."""
    if DEVICE == "cpu" and not check:
        raise SystemExit("no CUDA device here; --check tries the script itself")
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else platform.processor() or "CPU"
    facts = {"device": name, "torch": torch.__version__, "sgdtheory": __version__}
    rows = walk(SMALL if check else Size(), pack, check)
    page = table(rows, facts)
    print(page)
    if not check:
        found = {"facts": facts, "rows": [asdict(row) for row in rows]}
        kept = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
        (HERE / "docs/gpu.json").write_text(kept, encoding="utf-8")
        (HERE / "docs/gpu.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
