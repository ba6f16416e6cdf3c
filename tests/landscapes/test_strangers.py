"""Networks that are not ours: each is right, or refused in a line before anything is done."""

import hashlib
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from sgdtheory.data.digits import digits
from sgdtheory.data.images import Images
from sgdtheory.diagnostics.blocks import refuse_unmatched
from sgdtheory.errors import UserError
from sgdtheory.landscapes.module_parts import fill
from sgdtheory.landscapes.network import Network
from sgdtheory.models.custom import custom
from sgdtheory.protocol import value_and_grad
from sgdtheory.rng import stream
from tests.landscapes.strangers import REFUSED, RIGHT, Factory
from tests.landscapes.twins import demand_what_is_descended, demand_what_is_scored, shaken

FEW = digits().first(60, 40)


def colour() -> Images:
    source = stream(0, "colour")
    images = [
        torch.randint(256, (n, 3, 16, 16), generator=source, dtype=torch.uint8) for n in (40, 20)
    ]
    return Images(images[0], torch.arange(40) % 3, images[1], torch.arange(20) % 3, 3, "colour")


def network(name: str, factory: Factory, **settings: object) -> Network:
    data = colour() if "colour" in name else FEW
    return Network(partial(custom, factory=factory), data, weight_decay=0.01, **settings)  # type: ignore[arg-type]


def test_there_are_enough_of_them() -> None:
    assert len(RIGHT) + len(REFUSED) >= 60


@pytest.mark.parametrize("name", RIGHT)
def test_is_right(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    landscape = network(name, RIGHT[name])
    said = landscape.check()
    assert "no Hessian-vector products" not in said
    demand_what_is_descended(landscape, RIGHT[name])
    demand_what_is_scored(landscape, monkeypatch)


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused(name: str) -> None:
    factory, says = REFUSED[name]
    with pytest.raises(UserError, match=says) as fault:
        network(name, factory).check()
    assert len(str(fault.value).splitlines()) == 1 and len(str(fault.value)) <= 400


def digest(name: str) -> str:
    """Of losses, gradients and scores of two points, whatever the process's generators did before."""
    landscape = network(name, RIGHT[name])
    cloud = shaken(landscape, 2)
    found = hashlib.sha256()
    for tensor in (*value_and_grad(landscape, cloud), landscape.score(cloud, "test").losses):
        found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


def test_two_processes_have_the_same_bits() -> None:
    code = (
        "import torch, random, numpy; torch.manual_seed(7); random.seed(8); numpy.random.seed(9)\n"
        "torch.set_num_threads(1)\n"
        "from tests.landscapes.test_strangers import RIGHT, digest\n"
        "print(*(digest(name) for name in RIGHT), sep='\\n')"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="utf-8",
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=True,
    )
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert done.stdout.split() == [digest(name) for name in RIGHT]
    finally:
        torch.set_num_threads(before)


def test_a_regular_expression_chooses_the_coordinates() -> None:
    whole = network("mlp", RIGHT["dropout"])
    part = network("mlp", RIGHT["dropout"], parameters=r"^4\.")
    assert part.dim == 16 * 10 + 10 and set(part.constants) == {"1.weight", "1.bias"}
    theta = whole.init(1, stream(0, "init"))
    named = whole.function.weights(theta[0])
    chosen = part.with_constants({name: named[name] for name in part.constants})
    few = theta[:, -part.dim :]
    assert torch.equal(chosen.score(few, "test").losses, whole.score(theta, "test").losses)
    with pytest.raises(UserError, match=r"matches no parameter; there are 1\.weight"):
        network("mlp", RIGHT["dropout"], parameters="nothing")
    with pytest.raises(UserError, match="no regular expression"):
        network("mlp", RIGHT["dropout"], parameters="(")


@pytest.mark.parametrize("expression", ["^enc", "^dec", r"dec\.weight"])
def test_a_weight_of_two_names_is_found_by_either(expression: str) -> None:
    """The first name is the encoder's; a decoder named alone was silently held."""
    landscape = network("mlp", RIGHT["tied"], parameters=expression)
    assert set(landscape.shapes) == {"enc.weight"}
    assert set(landscape.constants) == {"head.weight", "head.bias"}
    both = network("mlp", RIGHT["tied"], parameters=f"{expression}|head[.]bias")
    assert list(both.shapes) == ["enc.weight", "head.bias"]
    refuse_unmatched(network("mlp", RIGHT["tied"]), expression, "parameters")


def test_constants_follow_the_dtype_and_can_be_replaced() -> None:
    landscape = network("fourier", RIGHT["fourier"])
    theta = landscape.init(1, stream(0, "init"))
    assert landscape.score(theta, "test").losses.dtype == torch.float64
    other = landscape.with_constants({"B": 2 * landscape.constants["B"]})
    assert not torch.equal(other.score(theta, "test").losses, landscape.score(theta, "test").losses)
    with pytest.raises(UserError, match="is no constant of Fourier"):
        landscape.with_constants({"C": torch.zeros(1)})


# the self-check sees what is broken


def drawn_anew(landscape: Network, monkeypatch: pytest.MonkeyPatch) -> str:
    """A buffer is not what it was when the network was made."""
    build = landscape.function._build

    def other() -> torch.nn.Module:
        module = build()
        fill(module, {"B": torch.randn(64, 24, generator=torch.Generator().manual_seed(1))})
        return module

    monkeypatch.setattr(landscape.function, "_build", other)
    return "B of Fourier is different each time"


def dropout_on(landscape: Network, monkeypatch: pytest.MonkeyPatch) -> str:
    landscape.module.train()
    return "draws random numbers"


def statistics_of_the_last_call(landscape: Network, monkeypatch: pytest.MonkeyPatch) -> str:
    """Batch norms use what the pass before them saw."""
    norm = next(part for part in landscape.module.modules() if isinstance(part, _BatchNorm))
    kept = [torch.zeros(16, dtype=torch.float64), torch.ones(16, dtype=torch.float64)]

    def forward(x: Tensor) -> Tensor:
        mean, variance = kept
        kept[:] = [x.detach().mean(0), x.detach().var(0, correction=0)]
        return (x - mean.to(x)) / (variance.to(x) + norm.eps).sqrt()

    monkeypatch.setattr(norm, "forward", forward)
    return "other numbers at the same point|differ by"


def a_cache_kept(landscape: Network, monkeypatch: pytest.MonkeyPatch) -> str:
    """The statistics of the first point that was scored stay for all others."""
    first: list[Tensor] = []

    def population(self: Network, theta: Tensor) -> object:
        first.append(theta)
        return self._recorded(first[0].to(theta), self.examples("train")[0])

    monkeypatch.setattr(Network, "_population", population)
    return "differs? by|something is kept"


def rows_see_each_other(landscape: Network, monkeypatch: pytest.MonkeyPatch) -> str:
    with_statistics = landscape.function.with_statistics

    def mixed(*arguments: object) -> Tensor:
        outputs = with_statistics(*arguments)  # type: ignore[arg-type]
        return outputs + 1e-3 * outputs.mean(0)  # type: ignore[no-any-return]

    monkeypatch.setattr(landscape.function, "with_statistics", mixed)
    return "see each other"


def a_random_forward(landscape: Network, monkeypatch: pytest.MonkeyPatch) -> str:
    on_batch = landscape.function.on_batch

    def shaken_outputs(*arguments: object) -> Tensor:
        outputs = on_batch(*arguments)  # type: ignore[arg-type]
        return outputs + 1e-6 * torch.rand(())  # type: ignore[no-any-return]

    monkeypatch.setattr(landscape.function, "on_batch", shaken_outputs)
    return "draws random numbers"


@pytest.mark.parametrize(
    ("name", "breaks"),
    [
        ("fourier", drawn_anew),
        ("dropout", dropout_on),
        ("batch_norm_vectors", statistics_of_the_last_call),
        ("batch_norm_vectors", a_cache_kept),
        ("layer_norm", rows_see_each_other),
        ("layer_norm", a_random_forward),
    ],
)
def test_a_planted_fault_is_seen(
    name: str, breaks: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    landscape = network(name, RIGHT[name])
    landscape.check()
    says = breaks(landscape, monkeypatch)  # type: ignore[operator]
    with pytest.raises(UserError, match=says):
        landscape.check()


def test_the_check_costs_little() -> None:
    """At most a second on ResNet-8 and digits; asked of CPU time, for the tests share their cores."""
    from time import process_time

    from sgdtheory.models.resnet import ResNet

    landscape = Network(partial(ResNet, depth=8, width=8, shortcut="conv"), digits())
    began = process_time()
    landscape.check()
    assert process_time() - began <= 1.0
