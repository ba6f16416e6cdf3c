"""Speed as ratios to the physical floor, contenders alternating in one run: `make bench`.

CPU time (process time of one thread) and medians: this survives a noisy machine. On a GPU: wall
time, with its name.
"""

import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn
from torch.nn import functional as F

from sgdtheory.data.digits import digits
from sgdtheory.data.examples import IGNORED
from sgdtheory.data.images import Images
from sgdtheory.data.modular_addition import modular_addition
from sgdtheory.execution.machine import keep_memory
from sgdtheory.geometry import hessian
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.normalised import normalised
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.models.gpt import GPT
from sgdtheory.models.linear import Linear
from sgdtheory.models.mlp import MLP
from sgdtheory.models.resnet import ResNet
from sgdtheory.models.vit import ViT
from sgdtheory.optim.adamw import AdamW
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD, Coupling, Uncoupled
from sgdtheory.paths.band import ElasticBand
from sgdtheory.paths.polyline import arc_positions, points_at
from sgdtheory.products import Products
from sgdtheory.protocol import Landscape, hvp, value_and_grad, values
from sgdtheory.rng import stream
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.temperature.cell import Cell
from sgdtheory.temperature.cell_row import describe_cell
from sgdtheory.temperature.estimators.equipartition import Equipartition
from sgdtheory.temperature.estimators.excess_loss import ExcessLoss
from sgdtheory.temperature.measured_minimum import reference_minimum_at
from sgdtheory.temperature.measurement import measure_trajectory
from sgdtheory.temperature.minimisation import find_minimum
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from sgdtheory.temperature.schedule import MeasurementSchedule
from sgdtheory.temperature.trajectory import Trajectory

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Work = Callable[[], object]


def clock() -> float:
    if DEVICE == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def alternate(contenders: dict[str, Work], rounds: int) -> dict[str, float]:
    """Median time of each contender over `rounds`, taken in turn, after one warm-up each."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for round_ in range(rounds + 1):
        for name, work in contenders.items():
            began = clock()
            work()
            if round_:
                times[name].append(clock() - began)
    return {name: median(spent) for name, spent in times.items()}


def tell(
    title: str,
    times: dict[str, float],
    per: int,
    ours: str,
    floor: str,
    bar: float | None,
    at_least: bool = False,
) -> None:
    """`bar` None: nothing is asked."""
    ratio = times[floor] / times[ours] if at_least else times[ours] / times[floor]
    print(f"\n{title}")
    for name, spent in times.items():
        print(f"  {name:44} {1e3 * spent / per:9.3f} ms a step")
    how = "times faster" if at_least else "times"
    met = bar is None or (ratio >= bar if at_least else ratio <= bar)
    asked = (
        ""
        if bar is None
        else f" (asked: {'≥' if at_least else '≤'} {bar}) {'ok' if met else 'MISSED'}"
    )
    print(f"  {ours} / {floor}: {ratio:.2f} {how}{asked}")


def sgd(steps: int, batch_size: int | None, rate: float = 0.05) -> SGD:
    return SGD(steps, batch_size, rate, Constant(), 0.9)


def descend(optimiser: SGD, landscape: Landscape, start: Tensor) -> None:
    exhaust(optimiser.run(landscape, start, 0))


def exhaust(states: object) -> None:
    for _ in states:  # type: ignore[attr-defined]
        pass


def cifar_shaped() -> Images:
    source = stream(0, "images")
    draw = partial(torch.randint, 256, generator=source, dtype=torch.uint8)
    labels = partial(torch.randint, 10, generator=source)
    return Images(
        draw((2048, 3, 32, 32)),
        labels((2048,)),
        draw((512, 3, 32, 32)),
        labels((512,)),
        10,
        "cifar-shaped",
    ).to(DEVICE)


def bench_resnet(rounds: int = 5, steps: int = 3, batch: int = 128) -> None:
    """One ResNet-20: the loop against forward, backward and SGD update of the same module on
    resident tensors."""
    data = cifar_shaped()
    landscape = Network(partial(ResNet, depth=20, width=16), data, weight_decay=1e-4, device=DEVICE)
    start = landscape.init(1, stream(0, "init"))
    module = (
        ResNet(data.shape, 10, depth=20, width=16).to(DEVICE).to(memory_format=torch.channels_last)
    )
    optimiser = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    images = data.scaled(data.train_inputs[:batch], torch.float32).contiguous(
        memory_format=torch.channels_last
    )
    labels = data.train_targets[:batch]

    def bare() -> None:
        for _ in range(steps):
            optimiser.zero_grad(set_to_none=True)
            F.cross_entropy(module(images), labels).backward()
            optimiser.step()

    times = alternate(
        {
            "the loop": lambda: exhaust(sgd(steps, batch).run(landscape, start, 0)),
            "bare module": bare,
        },
        rounds,
    )
    tell(f"ResNet-20, CIFAR-shaped, batch {batch}", times, steps, "the loop", "bare module", 1.05)
    model = partial(ResNet, depth=20, width=16)
    mixed = Network(model, data, weight_decay=1e-4, precision="bf16", device=DEVICE)
    mixed = mixed.in_training(torch.float32)
    times = alternate(
        {
            "in float32": lambda: exhaust(sgd(steps, batch).run(landscape, start, 0)),
            "in bfloat16": lambda: exhaust(sgd(steps, batch).run(mixed, start, 0)),
        },
        rounds,
    )
    tell("ResNet-20 in bfloat16", times, steps, "in float32", "in bfloat16", 1.3, at_least=True)
    if DEVICE == "cuda":
        compiled = Network(model, data, weight_decay=1e-4, compile="cuda_graphs", device=DEVICE)
        fast = torch.compile(module)

        def bare_compiled() -> None:
            for _ in range(50):
                optimiser.zero_grad(set_to_none=True)
                F.cross_entropy(fast(images), labels).backward()
                optimiser.step()

        contenders = {
            "the loop, compiled": lambda: exhaust(sgd(50, batch).run(compiled, start, 0)),
            "bare, compiled": bare_compiled,
        }
        times = alternate(contenders, rounds)
        tell(
            f"ResNet-20 compiled on {torch.cuda.get_device_name()}",
            times,
            50,
            "the loop, compiled",
            "bare, compiled",
            1 / 0.9,
        )
        print(f"  images a second: {batch * 50 / times['the loop, compiled']:,.0f}")


def bench_batch_norm(rounds: int = 21) -> None:
    """Forward and backward of one batch norm of ResNet-20 whose sums are right, against torch's
    kernel, whose are not."""
    for shape in ((128, 16, 32, 32), (128, 32, 16, 16), (128, 64, 8, 8)):
        source = stream(0, "activations")
        x, gradient = (
            torch.randn(shape, generator=source)
            .to(DEVICE)
            .contiguous(memory_format=torch.channels_last)
            for _ in range(2)
        )
        leaves = [
            x.requires_grad_(),
            *(torch.ones(shape[1], device=DEVICE).requires_grad_() for _ in range(2)),
        ]
        contenders: dict[str, Work] = {
            "right sums": partial(take_gradients, partial(normalised, eps=1e-5), leaves, gradient),
            "torch's kernel": partial(
                take_gradients,
                lambda *given: F.batch_norm(given[0], None, None, *given[1:], True),
                leaves,
                gradient,
            ),
        }
        title = f"batch norm of activations {'×'.join(map(str, shape))}, channels last"
        tell(title, alternate(contenders, rounds), 1, "right sums", "torch's kernel", None)


def take_gradients(forward: Callable[..., Tensor], leaves: list[Tensor], gradient: Tensor) -> None:
    torch.autograd.grad(forward(*leaves), leaves, gradient)


def written_by_hand(
    points: int, batch: int, sizes: tuple[int, ...], momentum: float, decay: float
) -> Callable[[int], None]:
    """Steps of P softmax regressions or ReLU MLPs on digits as one writes them for these nets
    alone: a tensor a layer, indices drawn once, no autograd, nothing recorded but the losses."""
    data = digits().to(DEVICE)
    inputs = data.scaled(data.train_inputs, torch.float32).flatten(1)
    labels = data.train_targets
    source = stream(0, "by hand")
    pairs = list(itertools.pairwise(sizes))
    draw = partial(torch.randn, generator=source)
    weights = [(0.1 * draw(points, after, before)).to(DEVICE) for before, after in pairs]
    biases = [torch.zeros(points, after, 1, device=DEVICE) for _, after in pairs]
    velocities = [torch.zeros_like(x) for x in (*weights, *biases)]
    last = len(pairs) - 1

    def move(parameter: Tensor, velocity: Tensor, gradient: Tensor, rate: float) -> None:
        if momentum:
            velocity.mul_(momentum).add_(gradient).add_(parameter, alpha=decay)
            parameter.sub_(velocity, alpha=rate)
        else:
            parameter.mul_(1 - rate * decay).sub_(gradient, alpha=rate)

    def steps(number: int, rate: float = 0.05) -> None:
        drawn = torch.randint(data.count, (number, points * batch), generator=source).to(DEVICE)
        for indices in drawn.unbind():
            x = inputs.index_select(0, indices).view(points, batch, -1).mT
            at = labels.index_select(0, indices).view(points, 1, batch)
            seen = [x]
            for k in range(last + 1):
                x = torch.baddbmm(biases[k], weights[k], x)
                x = x.relu_() if k < last else x
                seen.append(x)
            logs = x.log_softmax(1)
            own = logs.gather(1, at)
            own.sum((1, 2)).mul_(-1 / batch)  # the losses
            slopes = logs.exp_().scatter_add_(1, at, own.new_full(own.shape, -1.0))
            slopes.mul_(1 / batch)
            for k in range(last, -1, -1):
                gradient = torch.bmm(slopes, seen[k].mT)
                of_bias = slopes.sum(2, keepdim=True)
                if k:
                    pulled = torch.bmm(weights[k].mT, slopes)
                    slopes = torch.ops.aten.threshold_backward(pulled, seen[k], 0)
                move(weights[k], velocities[k], gradient, rate)
                move(biases[k], velocities[last + 1 + k], of_bias, rate)

    return steps


def written_in_jax(
    points: int, batch: int, sizes: tuple[int, ...], momentum: float, decay: float
) -> Callable[[int], None] | None:
    """The same steps by jit(vmap(grad)) and scan, compiled once; None where JAX is not installed or
    does not compute where torch does."""
    if DEVICE != "cpu" or find_spec("jax") is None:
        return None
    jax = import_module("jax")
    jnp = jax.numpy
    data = digits()
    inputs = jnp.asarray(data.scaled(data.train_inputs, torch.float32).flatten(1).numpy())
    labels = jnp.asarray(data.train_targets.numpy())
    pairs = list(itertools.pairwise(sizes))
    start = [
        (jnp.full((points, after, before), 0.01), jnp.zeros((points, after)))
        for before, after in pairs
    ]
    still = jax.tree.map(jnp.zeros_like, start)

    def loss(layers: Any, indices: Any) -> Any:
        x = inputs[indices]
        for k, (weight, bias) in enumerate(layers):
            x = x @ weight.T + bias
            x = jax.nn.relu(x) if k < len(layers) - 1 else x
        logs = jax.nn.log_softmax(x)
        own = jnp.take_along_axis(logs, labels[indices][:, None], 1)
        squares = sum((leaf**2).sum() for leaf in jax.tree.leaves(layers))
        return -own.mean() + 0.5 * decay * squares

    gradients_of = jax.vmap(jax.grad(loss))

    def step(state: Any, key: Any) -> Any:
        layers, velocities = state
        indices = jax.random.randint(key, (points, batch), 0, data.count)
        gradients = gradients_of(layers, indices)
        velocities = jax.tree.map(lambda v, g: momentum * v + g, velocities, gradients)
        return (jax.tree.map(lambda x, v: x - 0.05 * v, layers, velocities), velocities), None

    scan = jax.jit(lambda state, keys: jax.lax.scan(step, state, keys)[0])

    def steps(number: int) -> None:
        keys = jax.random.split(jax.random.key(0), number)
        jax.block_until_ready(scan((start, still), keys))

    return steps


def bench_by_hand(rounds: int = 21) -> None:
    """The default sweep's step and that of 64 MLPs, against the same written for these nets
    alone."""
    data = digits().to(DEVICE)
    softmax = Network(Linear, data, weight_decay=0.01, device=DEVICE)
    mlp = Network(MLP, data, device=DEVICE)
    cases = (
        ("softmax regression", softmax, 32, 8, (64, 10), 0.0, 400, 1.5),
        ("MLP 64-32-32-10", mlp, 64, 16, (64, 32, 32, 10), 0.9, 100, 1.2),
    )
    for name, landscape, points, batch, sizes, momentum, steps, bar in cases:
        start = landscape.init(points, stream(0, "init"))
        optimiser = SGD(steps, batch, 0.05, Constant(), momentum)
        net = (points, batch, sizes, momentum, landscape.weight_decay)
        contenders: dict[str, Work] = {
            "the loop": partial(descend, optimiser, landscape, start),
            "by hand": partial(written_by_hand(*net), steps),
        }
        in_jax = written_in_jax(*net)
        if in_jax is not None:
            contenders["JAX, jit(vmap(grad)) + scan"] = partial(in_jax, steps)
        times = alternate(contenders, rounds)
        tell(f"{points} × {name}, batch {batch}", times, steps, "the loop", "by hand", bar)


def bench_one_mlp(rounds: int = 21, steps: int = 200, batch: int = 128) -> None:
    """One MLP: the loop against nn.Module with torch's fused SGD, and against the same by hand."""
    data = digits().to(DEVICE)
    landscape = Network(MLP, data, device=DEVICE)
    start = landscape.init(1, stream(0, "init"))
    module = MLP(data.shape, 10).to(DEVICE)
    parameters = module.parameters()
    fused = torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=1e-3, fused=True)
    inputs = data.scaled(data.train_inputs, torch.float32)

    def bare() -> None:
        drawn = torch.randint(data.count, (steps, batch)).to(DEVICE)
        for indices in drawn.unbind():
            fused.zero_grad(set_to_none=True)
            images = inputs.index_select(0, indices)
            labels = data.train_targets.index_select(0, indices)
            F.cross_entropy(module(images), labels).backward()
            fused.step()

    by_hand = written_by_hand(1, batch, (64, 32, 32, 10), 0.9, 1e-3)
    contenders: dict[str, Work] = {
        "the loop": partial(descend, sgd(steps, batch), landscape, start),
        "nn.Module, fused SGD": bare,
        "by hand": partial(by_hand, steps),
    }
    times = alternate(contenders, rounds)
    title = f"one MLP 64-32-32-10, batch {batch}"
    tell(title, times, steps, "the loop", "nn.Module, fused SGD", 1.0)
    tell(title, times, steps, "the loop", "by hand", None)


def bench_replicas(rounds: int = 7, steps: int = 250, points: int = 64, batch: int = 16) -> None:
    """64 replicas of MLP 64-32-32-10 in one cloud: against 64 plain loops, and against their matrix
    products alone."""
    data = digits().to(DEVICE)
    landscapes = {
        rows: Network(MLP, data, rows=rows, device=DEVICE) for rows in ("batched", "vmap")
    }
    start = landscapes["batched"].init(points, stream(0, "init"))
    modules = [MLP(data.shape, 10).to(DEVICE) for _ in range(points)]
    optimisers = [
        torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3) for m in modules
    ]
    images = data.scaled(data.train_inputs[:batch], torch.float32)
    labels = data.train_targets[:batch]

    def loops() -> None:
        for module, optimiser in zip(modules, optimisers, strict=True):
            optimiser.zero_grad(set_to_none=True)
            F.cross_entropy(module(images), labels).backward()
            optimiser.step()

    sizes = (64, 32, 32, 10)
    weights = [
        torch.randn(points, m, n, device=DEVICE).requires_grad_()
        for n, m in itertools.pairwise(sizes)
    ]
    biases = [torch.zeros(points, 1, m, device=DEVICE).requires_grad_() for m in sizes[1:]]
    inputs = torch.randn(points, batch, 64, device=DEVICE)

    def products() -> None:
        """Forward and backward of the three layers as batched products with autograd, nothing
        else."""
        for _ in range(steps):
            x = inputs
            for k, (w, c) in enumerate(zip(weights, biases, strict=True)):
                x = torch.baddbmm(c, x, w.transpose(1, 2))
                x = x.relu() if k < 2 else x
            torch.autograd.grad(
                F.cross_entropy(x.view(-1, 10), labels.repeat(points)), [*weights, *biases]
            )

    contenders: dict[str, Work] = {
        "batched rows": lambda: exhaust(sgd(steps, batch).run(landscapes["batched"], start, 0)),
        "vmap": lambda: exhaust(sgd(steps, batch).run(landscapes["vmap"], start, 0)),
        "batched products with autograd": products,
    }
    times = alternate(contenders, rounds)
    plain = alternate({"64 plain loops": loops}, 5)["64 plain loops"] * steps
    times["64 plain loops"] = plain
    title = f"{points} replicas of MLP 64-32-32-10, batch {batch}"
    tell(title, times, steps, "batched rows", "batched products with autograd", 1.3)
    tell(title, times, steps, "batched rows", "64 plain loops", 15, at_least=True)
    tell(title, times, steps, "vmap", "64 plain loops", 8, at_least=True)


def bench_transformers(rounds: int = 7, steps: int = 10, batch: int = 128) -> None:
    """A small GPT and a small ViT under AdamW: the loop against the same module on resident
    tensors with torch's fused AdamW."""
    cases = {
        "GPT on sums modulo 23": (GPT, modular_addition(23)),
        "ViT on digits": (ViT, digits()),
    }
    for name, (model, data) in cases.items():
        landscape = Network(model, data, weight_decay=0.0, device=DEVICE)
        start = landscape.init(1, stream(0, "init"))
        module = model(data.shape, data.outputs).to(DEVICE)
        optimiser = torch.optim.AdamW(module.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
        inputs = landscape.data.prepared(landscape.data.train_inputs[:batch], torch.float32)
        targets = landscape.data.train_targets[:batch]
        adamw = AdamW(steps, batch, 1e-3, Constant(), momentum=0.9, decay=0.01)

        def bare(
            module: nn.Module = module,
            optimiser: torch.optim.Optimizer = optimiser,
            inputs: Tensor = inputs,
            targets: Tensor = targets,
        ) -> None:
            for _ in range(steps):
                optimiser.zero_grad(set_to_none=True)
                logits = module(inputs).flatten(0, -2)
                F.cross_entropy(logits, targets.flatten(), ignore_index=IGNORED).backward()
                optimiser.step()

        contenders: dict[str, Work] = {
            "the loop": partial(descend, adamw, landscape, start),
            "bare module": bare,
        }
        times = alternate(contenders, rounds)
        title = f"{name}, {landscape.dim:,} parameters, AdamW, batch {batch}"
        tell(title, times, steps, "the loop", "bare module", 1.05)


def bench_gpt_replicas(rounds: int = 5, steps: int = 5, points: int = 32, batch: int = 16) -> None:
    """32 replicas of a small GPT in one cloud against a loop of 32 clouds of one."""
    data = modular_addition(23)
    landscape = Network(GPT, data, device=DEVICE)
    start = landscape.init(points, stream(0, "init"))

    def loop() -> None:
        for row in start.unbind():
            exhaust(sgd(steps, batch).run(landscape, row[None], 0))

    contenders: dict[str, Work] = {
        "one cloud": lambda: exhaust(sgd(steps, batch).run(landscape, start, 0)),
        "a loop": loop,
    }
    times = alternate(contenders, rounds)
    title = f"{points} replicas of a GPT with {landscape.dim:,} parameters, batch {batch}"
    tell(title, times, steps, "one cloud", "a loop", 3, at_least=True)


def bench_adamw(rounds: int = 21, steps: int = 20, dim: int = 100_000) -> None:
    """The step of AdamW alone against torch's fused one."""
    source = stream(0, "adamw")
    start = torch.randn(1, dim, generator=source).to(DEVICE)
    force = torch.randn(1, dim, generator=source).to(DEVICE)
    ours = AdamW(steps, 1, 1e-3, Constant(), momentum=0.9, decay=0.01)
    velocity = ours.init_state(start)
    parameter = nn.Parameter(start[0].clone())
    parameter.grad = force[0].clone()
    torchs = torch.optim.AdamW([parameter], lr=1e-3, weight_decay=0.01, fused=True)

    def our_steps() -> None:
        for step in range(steps):
            ours.step(start, velocity, force, 1e-3, step)

    def torch_steps() -> None:
        for _ in range(steps):
            torchs.step()

    times = alternate({"our step": our_steps, "torch, fused": torch_steps}, rounds)
    tell(f"AdamW in R^{dim:,}", times, steps, "our step", "torch, fused", 1.1)


def bench_quadratic(rounds: int = 9, steps: int = 50, points: int = 64, dim: int = 1000) -> None:
    """The loop on a quadratic against its own tensor operations: noise, gradient, momentum,
    update."""
    landscape = Quadratic(directions=dim, device=DEVICE)
    start = landscape.init(points, stream(0, "init")).float()
    curvatures = landscape.spectrum.to(start)

    def tensors() -> None:
        theta, velocity = start.clone(), torch.zeros_like(start)
        for k in range(steps):
            noise = torch.randn(points, dim, generator=stream(0, k)).to(DEVICE) / 4.0
            leaf = theta.detach().requires_grad_()
            loss = 0.5 * (leaf.square() @ curvatures) + (noise * leaf).sum(1)
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
            velocity.mul_(0.9).add_(gradient)
            theta.sub_(velocity, alpha=0.05)

    times = alternate(
        {
            "the loop": lambda: exhaust(sgd(steps, 16).run(landscape, start, 0)),
            "its tensor operations": tensors,
        },
        rounds,
    )
    tell(
        f"quadratic in R^{dim}, {points} points",
        times,
        steps,
        "the loop",
        "its tensor operations",
        1.3,
    )


def bench_growth(rounds: int = 5, steps: int = 10) -> None:
    """Growth with P: time a point and step must not rise."""
    data = digits().to(DEVICE)
    landscape = Network(MLP, data, device=DEVICE)
    sizes = (8, 64, 512)
    starts = {points: landscape.init(points, stream(0, "init")) for points in sizes}
    work = {
        f"P = {p}": partial(lambda p: exhaust(sgd(steps, 16).run(landscape, starts[p], 0)), p)
        for p in sizes
    }
    times = alternate(work, rounds)
    each = {
        name: 1e6 * spent / steps / p for (name, spent), p in zip(times.items(), sizes, strict=True)
    }
    print(
        "\ngrowth with P, MLP, batch 16: "
        + ", ".join(f"{name}: {spent:.1f} µs a point and step" for name, spent in each.items())
    )
    print(f"  P = 512 / P = 64 a point: {each['P = 512'] / each['P = 64']:.2f} (asked: ≤ 1)")


def bench_band() -> None:
    """A step of AutoNEB against forward, backward and update of its interior pivots alone, all on
    one mini-batch."""
    data = digits().to(DEVICE)
    # many short rounds: what disturbs one is over in the next
    cases = {
        "ResNet-8": (partial(ResNet, depth=8, width=8, shortcut="conv"), 9, 128, 4, 7, 1.10),
        "MLP": (
            MLP,
            9,
            128,
            30,
            41,
            1.3,
        ),
    }
    for name, (model, pivots, batch, steps, rounds, bar) in cases.items():
        landscape = Network(model, data, device=DEVICE)
        ends = landscape.init(2, stream(0, "init"))
        path = points_at(ends, torch.linspace(0, 1, pivots + 2, dtype=torch.float64))
        band = ElasticBand(ends, values(landscape, ends), arc_positions(path))
        optimiser, free = sgd(steps, batch, 1e-3), Uncoupled(shared_batches=True)

        contenders = {
            name: partial(exhaust_band, optimiser, landscape, path, coupling)
            for name, coupling in (("elastic band", band), ("the same points, free", free))
        }
        title = f"AutoNEB step, {name}, {pivots} pivots, batch {batch}"
        tell(
            title,
            alternate(contenders, rounds),
            steps,
            "elastic band",
            "the same points, free",
            bar,
        )


def bench_products(rounds: int = 9) -> None:
    """A Hessian-vector product among many at one point, and one by itself, against a gradient."""
    model = partial(ResNet, depth=8, width=8, shortcut="conv")
    landscape = Network(model, digits().to(DEVICE), device=DEVICE)
    theta = landscape.init(1, stream(0, "init"))
    vector = torch.randn(theta.shape, generator=stream(0, "vector")).to(theta)
    products = Products(landscape, theta[0])
    contenders: dict[str, Work] = {
        "product of many": lambda: products(vector),
        "product by itself": lambda: hvp(landscape, theta, vector),
        "gradient": lambda: value_and_grad(landscape, theta),
    }
    times = alternate(contenders, rounds)
    tell("ResNet-8 on digits, a product", times, 1, "product of many", "gradient", 2.2)


def bench_spectrum(images: int = 2048 if DEVICE == "cuda" else 32) -> None:
    """Top ten eigenvalues of ResNet-20 once, against as many Hessian-vector products alone.

    On 2,048 images where a GPU is; on a CPU, where that takes an hour, on 32: what Lanczos adds is
    the same and the products are cheaper, so the ratio is an upper bound of the one asked for.
    """
    landscape = Network(
        partial(ResNet, depth=20, width=16),
        cifar_shaped().first(images, 16),
        weight_decay=1e-4,
        device=DEVICE,
    )
    theta = landscape.init(1, stream(0, "init"))
    vector = torch.randn(theta.shape, generator=stream(0, "vector")).to(theta)
    products, inside, real = 0, 0.0, Products.__call__

    def counted(*arguments: Any) -> Tensor:
        nonlocal products, inside
        products, began = products + 1, clock()
        found = real(*arguments)
        inside += clock() - began
        return found

    Products.__call__ = counted  # type: ignore[method-assign]
    try:
        began = clock()
        hessian.top_eigenpairs(landscape, theta[0], 10)
        spent = clock() - began
    finally:
        Products.__call__ = real  # type: ignore[method-assign]
    at_theta = Products(landscape, theta[0])
    alone = alternate({"one": lambda: at_theta(vector)}, 5)["one"] * products
    times = {
        "top ten eigenvalues": spent,
        "of these in products": inside,
        "their products alone": alone,
    }
    title = f"ResNet-20, {images:,} images: top ten eigenvalues, {products} products"
    tell(title, times, products, "top ten eigenvalues", "their products alone", 1.2)


def exhaust_band(optimiser: SGD, landscape: Network, path: Tensor, coupling: Coupling) -> None:
    exhaust(optimiser.run(landscape, path[1:-1], 0, coupling))


def tanh_net() -> Network:
    """The landscape of experiment=mlp_digits."""
    return Network(
        partial(MLP, hidden=[32], activation="tanh"),
        digits().to(DEVICE),
        weight_decay=0.01,
        learning_rate=0.3,
        device=DEVICE,
    )


def bench_recording(rounds: int = 7, batch: int = 16, points: int = 64) -> None:
    """A step of a cell of experiment=mlp_digits that is looked at as often as a cell is, against
    the bare step."""
    landscape = tanh_net()
    ground = reference_minimum_at(landscape, find_minimum(landscape, None, 0), 0, batch)
    cell = Cell(0.12, batch, 0.0, "iid", points, 0.02, 60_000)
    every = cell.schedule(ground, landscape.count).thinning
    recipe = MeasurementSchedule(0, every, 3, 1)
    start = ground.theta.float().to(DEVICE).expand(points, -1)

    def recorded() -> None:
        with TemporaryDirectory() as path:
            measure_trajectory(
                UnitFolder(Path(path), Unit("cell", {})),
                landscape,
                ground,
                cell.sgd,
                recipe,
                points,
                0,
                torch.float32,
                never,
            )

    bare = replace(cell.sgd, steps=recipe.steps)
    contenders: dict[str, Work] = {
        "recorded": recorded,
        "not recorded": lambda: exhaust(bare.run(landscape, start, 0)),
    }
    times = alternate(contenders, rounds)
    title = f"{points} replicas of MLP 64-32-10, batch {batch}, a look every {every} steps"
    tell(title, times, recipe.steps, "recorded", "not recorded", 1.15)


def never(_: Trajectory) -> bool:
    return False


def bench_cells(rounds: int = 2) -> None:
    """Cells of the default sweep and of experiment=mlp_digits from their beginning to their row,
    against their steps alone."""
    softmax = Network(Linear, digits().to(DEVICE), weight_decay=0.01, device=DEVICE)
    for landscape, rate, batches in (
        (softmax, 0.188, (4, 8, 16, 32, 64)),
        (tanh_net(), 0.12, (16, 64)),
    ):
        ground = reference_minimum_at(landscape, find_minimum(landscape, None, 0), 0, min(batches))
        for batch in batches:
            bench_cell(landscape, ground, Cell(rate, batch, 0.0, "iid", 32, 0.02, 60_000), rounds)


def bench_cell(landscape: Network, ground: ReferenceMinimum, cell: Cell, rounds: int) -> None:
    start = ground.theta.float().to(DEVICE).expand(cell.replicas, -1)
    steps = [0]

    def whole() -> None:
        with TemporaryDirectory() as path:
            found = cell.measure(
                UnitFolder(Path(path), Unit("cell", {})), landscape, ground, 0, torch.float32
            )
        describe_cell(
            cell,
            landscape,
            ground,
            found,
            {"excess_loss": ExcessLoss(), "equipartition": Equipartition()},
        )
        steps[0] = int(found.steps[-1])

    times = alternate(
        {
            "cell": whole,
            "its steps": lambda: exhaust(
                replace(cell.sgd, steps=steps[0]).run(landscape, start, 0)
            ),
        },
        rounds,
    )
    title = (
        f"cell of {landscape.title}, learning rate {cell.learning_rate}, batch "
        f"{cell.batch_size}: {steps[0]:,} steps"
    )
    tell(title, times, steps[0], "cell", "its steps", 1.5 if cell.batch_size >= 16 else None)


def bench_memory(steps: int = 4_000) -> None:
    """What a cloud of 64 holds at once, and the process's high-water mark, at 1 and at 10 times the
    steps."""
    landscape = Quadratic(device=DEVICE)
    ground = reference_minimum_at(landscape, landscape.minima()[0], 0, 16)
    print("\nmemory of a cell, 64 replicas, 10 directions, a look every 10 steps")
    for times in (1, 10):
        held: list[int] = []

        def enough(seen: Trajectory, held: list[int] = held) -> bool:
            held.append(
                sum(tensor.numel() * tensor.element_size() for tensor in seen.tensors().values())
            )
            return False

        with TemporaryDirectory() as path:
            folder = UnitFolder(Path(path), Unit("cell", {}))
            recipe = MeasurementSchedule(100, 10, 6, times * steps // 60)
            measure_trajectory(
                folder, landscape, ground, sgd(1, 16), recipe, 64, 0, torch.float32, enough
            )
        peak = getrusage(RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
        print(
            f"  {times * steps:7,} steps: records {max(held) / 2**20:.1f} MiB at most, "
            f"process {peak:.0f} MiB at its peak"
        )


BENCHES = {
    bench.__name__.removeprefix("bench_"): bench
    for bench in (
        bench_memory,
        bench_quadratic,
        bench_by_hand,
        bench_one_mlp,
        bench_replicas,
        bench_transformers,
        bench_gpt_replicas,
        bench_adamw,
        bench_growth,
        bench_band,
        bench_resnet,
        bench_batch_norm,
        bench_recording,
        bench_cells,
        bench_products,
        bench_spectrum,
    )
}


def main(
    names: Annotated[
        list[str], typer.Argument(help=f"which of {', '.join(BENCHES)}; nothing: all")
    ] = [],  # noqa: B006
    images: Annotated[int | None, typer.Option(help="how many the spectrum is of")] = None,
) -> None:
    """Speed as ratios to the physical floor."""
    if unknown := set(names) - set(BENCHES):
        raise typer.BadParameter(f"there is no {', '.join(sorted(unknown))}", param_hint="names")
    torch.set_num_threads(1)
    keep_memory()
    where = torch.cuda.get_device_name() if DEVICE == "cuda" else "CPU, one thread, CPU time"
    print(f"device: {where}, torch {torch.__version__}", flush=True)
    for name in names or BENCHES:
        BENCHES[name](**({"images": images} if images and name == "spectrum" else {}))


if __name__ == "__main__":
    typer.run(main)
