"""Everything computes where it is told to: on a second device the numbers are the CPU's, to the bit."""

import json
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from inspect import getsource
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from sgdtheory.commandline import task as tasks
from sgdtheory.commandline.schema import Checker, build
from sgdtheory.commandline.targets import CONFIGS
from sgdtheory.data.digits import digits
from sgdtheory.data.text import topics
from sgdtheory.geometry import traces
from sgdtheory.landscapes import formula
from sgdtheory.landscapes.derived.block import Block
from sgdtheory.landscapes.derived.gauss_newton import GaussNewton
from sgdtheory.landscapes.derived.ghost_batches import GhostBatchObjective
from sgdtheory.landscapes.derived.rescaled import Rescaled
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.models.gpt import GPT
from sgdtheory.models.linear import Linear
from sgdtheory.models.lstm import LSTM
from sgdtheory.models.mlp import MLP
from sgdtheory.models.resnet import ResNet
from sgdtheory.optim import sgd as descents
from sgdtheory.optim.adam import Adam
from sgdtheory.optim.adamw import AdamW
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.paths import band
from sgdtheory.paths.band import ElasticBand
from sgdtheory.protocol import Landscape, hvp, value_and_grad, values
from sgdtheory.rng import stream
from sgdtheory.roles.facts import device_of
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.temperature.cell import Cell
from sgdtheory.temperature.cell_row import describe_cell
from sgdtheory.temperature.measured_minimum import reference_minimum_at
from sgdtheory.temperature.measurement import measure_trajectory
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from sgdtheory.temperature.rounding import doubt_of_losses
from sgdtheory.temperature.schedule import MeasurementSchedule
from sgdtheory.temperature.trajectory import Trajectory
from tests.cases import NATIVE, ROTATED, Case
from tests.landscapes import contracts
from tests.second_device import DEVICE, WAITS, Mixed, OnSecondDevice, back
from tests.test_configs import compose

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import pin

LANDSCAPES = sorted(file.stem for file in CONFIGS.glob("landscape/*.yaml"))
Numbers = dict[str, Any]


def here_and_there(work: Callable[[str], Any]) -> tuple[Any, Any]:
    """What a piece of work gives on the CPU and on the second device."""
    here = work("cpu")
    with OnSecondDevice():
        there = work(DEVICE)
    return here, back(there)


def same(work: Callable[[str], Numbers], rounding: float = 0.0) -> None:
    """The numbers are equal to the bit, or to a few roundings of the largest of them, as a share."""
    here, there = here_and_there(work)
    assert here.keys() == there.keys()
    for name, value in here.items():
        slack = rounding * float(value.abs().max())
        at = partial("{}: {}".format, name)
        torch.testing.assert_close(there[name], value, rtol=0, atol=slack, equal_nan=True, msg=at)


def looked_at(landscape: Any, dtype: torch.dtype = torch.float32) -> Numbers:
    """Losses, gradients and products of a landscape, whole and on mini-batches."""
    cloud = landscape.init(2, stream(0, "start")).to(dtype)
    assert cloud.device == device_of(landscape)
    batch = contracts.draw(landscape, 2, 3)
    found = {"values": values(landscape, cloud)}
    for name, examples in (("whole", None), ("batch", batch)):
        losses, gradients = value_and_grad(landscape, cloud, examples)
        products = hvp(landscape, cloud, gradients, examples)
        found |= {f"{name} {k}": v for k, v in enumerate((losses, gradients, products))}
    for split in ("train", "test"):
        if hasattr(landscape, "score"):
            losses, errors = landscape.score(cloud, split)
            found |= {f"{split} losses": losses, f"{split} errors": errors}
    return found


# landscapes


SLOW = pytest.mark.slow
AT_AN_ANGLE = [pytest.param(case, marks=SLOW) for case in ROTATED[1:]]


@pytest.mark.parametrize("case", [*NATIVE, ROTATED[0], *AT_AN_ANGLE], ids=repr)
def test_a_formula_keeps_its_promises(case: Case) -> None:
    with OnSecondDevice():
        landscape = replace(case.landscape, device=DEVICE)
        contracts.rows_are_independent(landscape)
        contracts.draws_are_unbiased(landscape, draws=200)
        contracts.batches_of_rows_differ(landscape)
        contracts.derivatives_agree(landscape)
        contracts.precision_follows_the_cloud(landscape)
        contracts.minima_are_minima(landscape)
        contracts.saddles_are_saddles(landscape)


def configured(choice: str, device: str) -> Any:
    cfg = compose("train", f"landscape={choice}", "data.limit=24", "model=mlp", "model.hidden=[3]")
    tree: Any = OmegaConf.to_container(cfg.landscape, resolve=True)
    checked, _ = Checker(("tests",)).value(Any, tree | {"device": device}, "landscape")
    return build(checked)


@pytest.mark.parametrize("choice", sorted(set(LANDSCAPES) - {"text"}))
def test_a_configured_landscape(choice: str) -> None:
    same(lambda device: looked_at(configured(choice, device)))


def gpt(device: str) -> Network:
    """The CPU's attention is a kernel of its own."""
    model = partial(GPT, heads=1, width=4)
    return Network(model, topics(8, 8, 4), device=device)


def lstm(device: str) -> Network:
    return Network(partial(LSTM, embedding=2, hidden=3), topics(8, 8, 4), device=device)


def resnet(device: str, **words: Any) -> Network:
    """The CPU's sums of batch norm are ours (`channel_sums`), those elsewhere torch's."""
    return few(device, partial(ResNet, depth=8, width=2), limit=8, **words)


@pytest.mark.parametrize("network", [pytest.param(resnet, marks=SLOW), gpt, lstm])
def test_a_network_that_has_kernels_of_its_own_on_the_cpu(network: Any) -> None:
    same(lambda device: looked_at(network(device), torch.float64), 1e-12)


TANH = partial(MLP, hidden=(3,), activation="tanh")


def few(device: str, model: Any = TANH, limit: int = 24, **words: Any) -> Network:
    return Network(model, digits(limit=limit), device=device, **words)


BY_HAND: dict[str, Callable[[str], Network]] = {
    "softmax": partial(few, model=Linear),
    "tanh": few,
    "relu": partial(few, model=partial(MLP, hidden=(3, 2))),
    "mse": partial(few, loss="mse"),
    "frozen": partial(few, parameters="layers.1.*"),
    "weights": partial(few, decay="weights"),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_gradients_by_hand(name: str) -> None:
    def work(device: str) -> Numbers:
        network = BY_HAND[name](device)
        assert network.is_by_hand
        cloud = network.init(2, stream(0, "start"))
        batch = contracts.draw(network, 2, 3)
        into = torch.full_like(cloud, torch.nan)
        losses, gradients = value_and_grad(network, cloud, batch, into)
        assert gradients is into
        return looked_at(network) | {"losses": losses, "gradients": gradients}

    same(work)


def derived(network: Network) -> Numbers:
    """What is derived from a landscape, at one point."""
    theta = network.init(1, stream(0, "start"))[0].double()
    scale = torch.linspace(1, 2, network.dim, dtype=torch.float64)
    rescaled = Rescaled(network, scale)
    landscapes: dict[str, Any] = {
        "ghost": GhostBatchObjective(network, 8, stream(0, "ghosts")),
        "gauss_newton": GaussNewton(network),
        "rescaled": rescaled,
        "block": Block.of_names(network, theta, ["layers.1.weight"]),
    }
    found: Numbers = {}
    for name, landscape in landscapes.items():
        point = theta
        if name == "block":
            point = landscape.theta
        losses, gradients = value_and_grad(landscape, point[None])
        products = hvp(landscape, point[None], gradients)
        found |= {f"{name} {k}": v for k, v in enumerate((losses, gradients, products))}
    return found


def test_derived_landscapes() -> None:
    same(lambda device: derived(few(device)))


# descents, and how often a step waits

CONSTANT = Constant()
OPTIMISERS = {
    "heavy ball": SGD(6, 4, 0.1, CONSTANT, 0.9),
    "epochs": SGD(6, 4, 0.1, CONSTANT, sampling="epoch"),
    "distinct": SGD(6, 4, 0.1, CONSTANT, 0.9, True, "without_replacement"),
    "adam": Adam(6, 4, 0.01, CONSTANT, 0.9),
    "adamw": AdamW(6, 4, 0.01, CONSTANT, 0.9),
}
NETWORKS: dict[str, Callable[[str], Network]] = {
    "by hand": few,
    "by autograd": partial(few, rows="vmap"),
    "batch norm": resnet,
}


def descended(optimiser: SGD, landscape: Landscape, start: Tensor, coupling: Any = None) -> Tensor:
    """The last cloud [P, n]; WAITS are those of all steps but the first."""
    words = () if coupling is None else (coupling,)
    states = optimiser.run(landscape, start, 0, *words)
    next(states)
    WAITS.clear()
    *_, last = states
    return last.cloud


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_descent_of_a_network_never_waits(name: str) -> None:
    def work(device: str) -> Numbers:
        network = few(device)
        start = network.init(3, stream(0, "start"))
        return {"cloud": descended(OPTIMISERS[name], network, start)}

    same(work)
    assert WAITS == []


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_of_no_network_waits(name: str) -> None:
    with OnSecondDevice():
        network = NETWORKS[name](DEVICE)
        descended(OPTIMISERS["heavy ball"], network, network.init(2, stream(0, "start")))
        assert WAITS == []


@pytest.mark.parametrize("words", [{}, {"climb": True}, {"stiffness": 0.1}], ids=str)
def test_a_step_of_a_band_waits_twice_at_most(words: dict[str, Any]) -> None:
    def work(device: str) -> Numbers:
        network = few(device)
        ends = network.init(2, stream(0, "start"))
        path, arcs = band.pivots_on_line(ends, 4, 0.1, stream(0, "nudge"))
        elastic = ElasticBand(ends, values(network, ends), arcs, **words)
        steps = OPTIMISERS["heavy ball"]
        return {"cloud": descended(steps, network, path[1:-1], elastic), "arcs": arcs}

    same(work)
    assert len(WAITS) <= 2 * 5


def test_waits_are_counted() -> None:
    with OnSecondDevice():
        numbers = torch.arange(3.0, device=DEVICE)
        waiting: list[Callable[[], object]] = [
            lambda: float(numbers[0]),
            lambda: bool(numbers[0]),
            lambda: numbers[0].item(),
            lambda: numbers.tolist(),
            lambda: numbers.nonzero(),
            lambda: numbers[numbers > 1],
            lambda: numbers.cpu(),
            lambda: torch.zeros(3).copy_(numbers),
            lambda: torch.equal(numbers, numbers),
        ]
        for ask in waiting:
            WAITS.clear()
            ask()
            assert len(WAITS) == 1, getsource(ask)
        WAITS.clear()
        numbers.add_(torch.ones(3).to(DEVICE))[1:].sum()
        assert WAITS == []


# commands

SMALL = "model=mlp model.hidden=[2] data.limit=24"
SHORT = "precision=0.5 replicas=2 steps=100"
SHORT_PATHS = "autoneb.steps=2 autoneb.last_steps=2 autoneb.retries=0 plane=0"
SHORT_PATHS += " baselines.gradients=2 baselines.dense=2"
DIAGNOSED = f"{pin.ALL_DIAGNOSTICS} diagnostic.noise.draws=4 diagnostic.spectrum.probes=1"
DIAGNOSED += " diagnostic.spectrum.steps=4 diagnostic.spectrum.top=1"
TRAINED = f"train {SMALL} minima=2 sgd.steps=4 sgd.batch_size=8 snapshots=1"
COMMANDS = {
    "train": TRAINED,
    "diagnose": f"diagnose {SMALL} minima=RUN {DIAGNOSED}",
}
SLOW_COMMANDS = {
    "connect": f"connect {SMALL} minima=RUN {SHORT_PATHS}",
    "sweep of a formula": "sweep-temperature landscape=quadratic landscape.directions=2 "
    f"sweep.batch_size=[8] {SHORT} {pin.NETWORK_ESTIMATORS}",
    "strings": f"connect {SMALL} minima=RUN {SHORT_PATHS} method=string_sampling strings.steps=3",
    "descent": f"{TRAINED} polish=descent polish_steps=3",
}


def ran(folder: Path, device: str, command: str) -> tuple[Path, Any]:
    """The directory of a run on this device, and the numbers in its results."""
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(pin, "ALONE", f"executor.workers=1 threads=1 device={device} --quiet")
        patch.setattr(tasks, "resolve_device", lambda name, *_: name)
        run = pin.run_command(command).resolve()
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    return run, pin.numbers(pin.by_name(results))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that other commands begin at."""
    return ran(tmp_path_factory.mktemp("trained"), "cpu", TRAINED)[0]


def a_command_gives_the_same(command: str, trained: Path, folder: Path) -> None:
    words = command.replace("RUN", str(trained))

    def work(device: str) -> Any:
        return ran(folder / device, device, words)[1]

    here, there = here_and_there(work)
    assert list(pin.differences(here, there)) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command(name: str, trained: Path, tmp_path: Path) -> None:
    a_command_gives_the_same(COMMANDS[name], trained, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW_COMMANDS)
def test_a_longer_command(name: str, trained: Path, tmp_path: Path) -> None:
    a_command_gives_the_same(SLOW_COMMANDS[name], trained, tmp_path)


ESTIMATORS = sorted(file.stem for file in CONFIGS.glob("estimator/*.yaml"))


ONE = Cell(0.05, 4, 0.0, "iid", 2, 0.5, 100)


def short_cloud(
    landscape: Network, folder: Path, dtype: torch.dtype
) -> tuple[ReferenceMinimum, Trajectory]:
    theta = landscape.init(1, stream(0, "start"))[0].double()
    ground = reference_minimum_at(landscape, theta, 0, 4, 2)
    schedule = MeasurementSchedule(2, 2, 5, 1)
    steps = replace(ONE.sgd, steps=schedule.steps)
    where = UnitFolder(folder, Unit("cell", {}))
    return ground, measure_trajectory(
        where, landscape, ground, steps, schedule, 2, 0, dtype, lambda _: False
    )


def cell(device: str, network: Callable[[str], Network], folder: Path) -> Numbers:
    """The numbers of a short cloud, by every estimator."""
    landscape = network(device)
    ground, seen = short_cloud(landscape, folder, torch.float64)
    chosen = compose("sweep_temperature", f"estimator=[{','.join(ESTIMATORS)}]").estimator
    checked, _ = Checker().value(Any, OmegaConf.to_container(chosen, resolve=True), "estimator")
    estimators = build(checked)
    assert len(estimators) == len(ESTIMATORS)
    row = describe_cell(ONE, landscape, ground, seen, estimators)
    of_all = {name: estimator(landscape, seen) for name, estimator in estimators.items()}
    return {"row": row, "estimators": {k: repr(v) for k, v in of_all.items()}}


def test_estimators(tmp_path: Path) -> None:
    here, there = here_and_there(lambda device: cell(device, few, tmp_path / device))
    assert here == there


def test_losses_are_asked_in_both_precisions(tmp_path: Path) -> None:
    """As every sweep of a network in float32 does at its end."""

    def asked(device: str) -> str:
        landscape = few(device)
        ground, seen = short_cloud(landscape, tmp_path / device, torch.float32)
        return doubt_of_losses(landscape, ground.theta, seen)

    here, there = here_and_there(asked)
    assert here == there


@pytest.mark.slow
def test_estimators_where_scale_does_not_matter(tmp_path: Path) -> None:
    """Batch norm has a kernel of its own on the CPU, so no bits are compared."""
    with OnSecondDevice():
        assert len(cell(DEVICE, resnet, tmp_path)["estimators"]) == len(ESTIMATORS)


# planted faults


def a_step(landscape: Any, coupling: Any = None) -> None:
    start = landscape.init(2, stream(0, "start"))
    descended(SGD(2, 4, 0.1, CONSTANT), landscape, start, coupling)


def a_band() -> None:
    ends = few(DEVICE).init(2, stream(0, "start"))
    band.pivots_on_line(ends, 2, 0.1, stream(0, "nudge"))


# a function that moves something, what it does, and what forgets it then
PLANTED: dict[str, tuple[Any, str, str, Callable[[], None]]] = {
    "indices": (
        descents,
        "indices",
        "drawn.to(device, non_blocking=True)",
        lambda: a_step(few(DEVICE)),
    ),
    "mini-batches of formulas": (
        formula.Formula,
        "sample",
        "draws.to(self.device)",
        lambda: a_step(Quadratic(directions=2, device=DEVICE)),
    ),
    "points": (
        formula.Formula,
        "init",
        "cloud.to(self.device, torch.get_default_dtype())",
        lambda: a_step(Quadratic(directions=2, device=DEVICE)),
    ),
    "the bend of a band": (band, "pivots_on_line", "bend.to(ends)", a_band),
    "signs of Hutch++": (
        traces,
        "_signs",
        "(2 * bits - 1).to(like)",
        lambda: trace_of(few(DEVICE)),
    ),
}


def plant(patch: pytest.MonkeyPatch, room: Any, name: str, move: str) -> None:
    """The function of a room, a module or a class, without this one move."""
    function = getattr(room, name)
    source = getsource(function)
    assert source.count(move) == 1
    stays, _ = move.rsplit(".to(", 1)
    made: dict[str, Any] = {}
    exec(textwrap.dedent(source.replace(move, stays)), function.__globals__, made)
    patch.setattr(room, name, made[name])


def trace_of(network: Network) -> None:
    theta = network.init(1, stream(0, "start"))[0]
    traces.hessian_trace(network, theta, stream(0, "signs"), 2, 2)


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_not_moved_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    room, function, move, work = PLANTED[name]
    with OnSecondDevice():
        work()
        plant(monkeypatch, room, function, move)
        with pytest.raises(Mixed):
            work()
