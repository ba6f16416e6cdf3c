"""Every loss is what plain double-precision code says, with its gradient and its products; and
what does not fit is refused."""

from collections.abc import Callable
from functools import partial
from math import log
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

import sgdtheory
from sgdtheory.data.examples import IGNORED, Examples
from sgdtheory.errors import UserError
from sgdtheory.landscapes.network import Network
from sgdtheory.losses.binary import Binary
from sgdtheory.losses.cross_entropy import CrossEntropy, frequencies
from sgdtheory.losses.custom import Custom
from sgdtheory.losses.huber import Huber
from sgdtheory.losses.loss import Loss, lowest_of
from sgdtheory.losses.mse import MSE
from sgdtheory.models.gpt import GPT
from sgdtheory.models.lstm import LSTM
from sgdtheory.models.mlp import MLP
from sgdtheory.rng import stream
from tests.landscapes import contracts

DECAY = 0.03
DRAWS = stream(0, "data")


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=DRAWS, dtype=torch.float64)


def numbers(targets: Tensor, outputs: int) -> Examples:
    """Five inputs of three numbers with these targets [5, …], and the same for testing."""
    inputs = drawn(5, 3)
    return Examples(inputs, targets, inputs, targets, outputs, "numbers")


def codes(targets: Tensor) -> Examples:
    """Three sequences of four codes of six."""
    inputs = torch.randint(6, (3, 4), generator=DRAWS)
    return Examples(inputs, targets, inputs, targets, 6, "codes")


class Case(NamedTuple):
    loss: Loss
    data: Examples
    model: Callable[..., nn.Module]
    plain: Callable[[Tensor, Tensor], Tensor]  # of the outputs and the target of one example


SMALL = partial(MLP, hidden=(4,), activation="tanh")
CLASSES = torch.tensor([0, 1, 2, 2, 0])
NEXT = torch.tensor([[1, 2, 3, 0], [5, 5, IGNORED, 1], [IGNORED, IGNORED, IGNORED, 4]])
SOFT = drawn(5, 3).softmax(1)


def fourth_power(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs[:, 0] - targets).pow(4)


def plain_cross_entropy(outputs: Tensor, target: Tensor) -> Tensor:
    """−log p of each target that counts, outputs [places, K]."""
    terms = [-out.log_softmax(0)[k] for out, k in zip(outputs, target, strict=True) if k >= 0]
    return torch.stack(terms).mean()


def plain_smooth(outputs: Tensor, target: Tensor) -> Tensor:
    q = torch.full((3,), 0.2 / 3, dtype=torch.float64)
    q[target] += 0.8
    return -(q * outputs.log_softmax(0)).sum()


def plain_huber(outputs: Tensor, target: Tensor) -> Tensor:
    r = (target - outputs).abs()
    return torch.where(r <= 0.5, r * r / 2, 0.5 * (r - 0.25)).mean()


def plain_binary(outputs: Tensor, target: Tensor) -> Tensor:
    p = torch.sigmoid(outputs)
    return -(target * p.log() + (1 - target) * (1 - p).log()).mean()


CASES = {
    "cross entropy": Case(
        CrossEntropy(), numbers(CLASSES, 3), SMALL, lambda f, y: -f.log_softmax(0)[y]
    ),
    "smooth": Case(CrossEntropy(0.2), numbers(CLASSES, 3), SMALL, plain_smooth),
    "soft": Case(
        CrossEntropy(), numbers(SOFT, 3), SMALL, lambda f, y: -(y * f.log_softmax(0)).sum()
    ),
    "mse of classes": Case(
        MSE(),
        numbers(CLASSES, 3),
        SMALL,
        lambda f, y: (f - F.one_hot(y, 3)).square().mean(),
    ),
    "mse": Case(MSE(), numbers(drawn(5), 1), SMALL, lambda f, y: (f[0] - y) ** 2),
    "mse of two": Case(MSE(), numbers(drawn(5, 2), 2), SMALL, lambda f, y: (f - y).square().mean()),
    "huber": Case(Huber(delta=0.5), numbers(drawn(5, 2), 2), SMALL, plain_huber),
    "binary": Case(Binary(), numbers((drawn(5, 2) > 0).double(), 2), SMALL, plain_binary),
    "custom": Case(Custom(fourth_power), numbers(drawn(5), 1), SMALL, lambda f, y: (f[0] - y) ** 4),
    "classes last": Case(
        CrossEntropy(), codes(NEXT), partial(GPT, heads=1, width=4), plain_cross_entropy
    ),
    "classes second": Case(
        CrossEntropy(),
        codes(NEXT),
        partial(LSTM, embedding=2, hidden=3),
        lambda f, y: plain_cross_entropy(f.T, y),
    ),
}


def landscape_of(case: Case) -> Network:
    return Network(case.model, case.data, DECAY, case.loss)


def twin(case: Case, network: Network, theta: Tensor) -> Tensor:
    """½λ|θ|² and the mean over examples, one after the other."""
    module = network.function.plain
    outputs = functional_call(
        module,
        network.function.weights(theta),
        (network.data.prepared(case.data.train_inputs, torch.float64),),
    )
    losses = [case.plain(f, y) for f, y in zip(outputs, case.data.train_targets, strict=True)]
    return torch.stack(losses).mean() + DECAY / 2 * theta.square().sum()


@pytest.mark.parametrize("name", CASES)
def test_it_is_its_formula(name: str) -> None:
    case = CASES[name]
    network = landscape_of(case)
    contracts.derivatives_agree(network, partial(twin, case, network))
    contracts.rows_are_independent(network)


@pytest.mark.parametrize("name", CASES)
def test_scores_are_of_the_ordinary_module(name: str) -> None:
    case = CASES[name]
    network = landscape_of(case)
    theta = network.init(1, stream(0, "init")).double()
    outputs = network.model_at(theta[0])(case.data.prepared(case.data.test_inputs, torch.float64))
    plain = [case.plain(f, y) for f, y in zip(outputs, case.data.test_targets, strict=True)]
    score = network.score(theta, "test")
    torch.testing.assert_close(score.losses[0], torch.stack(plain).detach(), rtol=1e-12, atol=0)
    assert score.errors.shape == score.losses.shape
    assert network.check().count("same bits") == 1


@pytest.mark.parametrize("name", CASES)
def test_no_constant_is_better_than_the_best(name: str) -> None:
    """The best constant outputs, found by a search of the test's own over the plain formula."""
    case = CASES[name]
    targets = case.data.train_targets
    shape = (4, 6) if targets.dtype == torch.int64 and targets.ndim > 1 else (case.data.outputs,)
    if len(shape) == 2:  # the same for all places
        c = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    else:
        c = torch.zeros(shape, dtype=torch.float64, requires_grad=True)

    def mean() -> Tensor:
        if len(shape) == 2:
            everywhere = c.expand(shape)
            return torch.stack([plain_cross_entropy(everywhere, y) for y in targets]).mean()
        return torch.stack([case.plain(c, y) for y in targets]).mean()

    search = torch.optim.LBFGS(
        [c],
        max_iter=500,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-12,
        tolerance_change=1e-16,
    )

    def closure() -> Tensor:
        search.zero_grad()
        loss = mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    search.step(closure)  # type: ignore[no-untyped-call]
    assert landscape_of(case).constant_loss() == pytest.approx(float(mean()), rel=1e-6)


def entropy(*q: float) -> float:
    return -sum(share * log(share) for share in q)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cross entropy", 0.0),
        ("classes last", 0.0),
        ("mse", 0.0),
        ("huber", 0.0),
        ("binary", 0.0),
        ("smooth", entropy(0.8 + 0.2 / 3, 0.2 / 3, 0.2 / 3)),
        ("soft", sum(entropy(*row) for row in SOFT.tolist()) / 5),
        ("custom", None),
    ],
)
def test_the_lowest_loss_is_the_entropy_of_the_targets(name: str, expected: float | None) -> None:
    lowest = landscape_of(CASES[name]).lowest_loss()
    assert lowest == (expected if not expected else pytest.approx(expected, rel=1e-12))


def test_outputs_that_are_the_targets_have_the_lowest_loss() -> None:
    """log q of soft targets that are smoothed, the logit of a label between 0 and 1."""
    smoothing = CrossEntropy(0.2)
    q = 0.8 * SOFT + 0.2 / 3
    reached = smoothing.losses(q.log()[None], SOFT[None]).mean()
    assert smoothing.lowest(SOFT, 3) == pytest.approx(float(reached), rel=1e-12)
    labels = SOFT[:, :2]
    reached = Binary().losses(labels.logit()[None], labels[None]).mean()
    assert Binary().lowest(labels, 2) == pytest.approx(float(reached), rel=1e-12)


def test_the_best_constant_of_sequences_that_count_differently() -> None:
    """Targets of an example share its weight: the constant is the mean loss of outputs that are the
    logarithms of frequencies, and of no others so low."""
    loss = CrossEntropy(axis="last")
    p = frequencies(NEXT, 6)
    assert p.tolist() == pytest.approx([1 / 12, (1 / 4 + 1 / 3) / 3, 1 / 12, 1 / 12, 1 / 3, 2 / 9])
    logits = p.log().repeat(len(NEXT), NEXT.shape[1], 1)

    def mean(outputs: Tensor) -> float:
        return float(loss.losses(outputs[None], NEXT[None]).mean())

    assert loss.of_constant(NEXT, 6) == pytest.approx(mean(logits), rel=1e-12)
    for k in range(6):
        shifted = logits.clone()
        shifted[..., k] += 0.01
        assert mean(shifted) > mean(logits)


@pytest.mark.parametrize("kind", [CrossEntropy, MSE, Huber, Binary])
def test_of_another_loss_under_a_known_name_no_lowest_is_known(kind: type[Any]) -> None:
    def losses(self: Any, outputs: Tensor, targets: Tensor) -> Tensor:
        found: Tensor = 1 + kind.losses(self, outputs, targets)
        return found

    other = type("Other", (kind,), {"losses": losses})()
    assert lowest_of(other, SOFT, 3) is None


def test_errors_are_what_they_are_called() -> None:
    classes = CrossEntropy(axis="second").errors(
        torch.tensor([[0.0, 2.0], [3.0, 1.0]]), torch.tensor([1, 1])
    )
    assert classes.tolist() == [0.0, 1.0]
    places = CrossEntropy(axis="last").errors(
        torch.tensor([[[0.0, 2.0], [3.0, 1.0], [0.0, 1.0]]]), torch.tensor([[1, 1, IGNORED]])
    )
    assert places.tolist() == [0.5]
    assert Binary().errors(torch.tensor([[1.0, -1.0]]), torch.tensor([[1.0, 1.0]])).tolist() == [
        0.5
    ]
    targets = drawn(50)
    data = Examples(drawn(50, 2), targets, drawn(50, 2), targets, 1, "line")
    loss = MSE().adapted_to(torch.zeros(2, 1), data)
    left = loss.errors(torch.full((50, 1), float(targets.mean())), targets)
    assert float(left.mean()) == pytest.approx(1.0, rel=1e-12)  # a constant explains nothing


def test_uniform_guessing_costs_ln_k() -> None:
    network = landscape_of(CASES["classes last"])
    zero = torch.zeros(1, network.dim, dtype=torch.float64)
    assert float(network.losses(zero)) == pytest.approx(log(6), rel=1e-12)


@pytest.mark.parametrize(
    ("loss", "data", "words"),
    [
        (CrossEntropy(), numbers(drawn(5), 1), "use landscape.loss=mse"),
        (MSE(), numbers(drawn(5, 4), 3), "must be 4 numbers an example"),
        (MSE(), numbers(drawn(5, 2, 3), 3), "in the shape of the targets"),
        (CrossEntropy(), numbers(drawn(5, 6), 6), "are below 0 or do not sum to 1"),
        (Binary(), numbers(drawn(5), 1), "takes 0 … 1"),
        (Binary(), numbers((drawn(5, 2) > 0).double(), 3), "one logit a label"),
        (Custom(lambda f, y: f.mean()), numbers(drawn(5), 1), r"it must give the loss of each"),
        (Custom(lambda f, y: f @ y), numbers(drawn(5), 1), r"fails on outputs \[2, 1\]"),
    ],
)
def test_what_does_not_fit_is_refused(loss: Loss, data: Examples, words: str) -> None:
    with pytest.raises(UserError, match=words):
        Network(SMALL, data, DECAY, loss)


def test_where_classes_could_lie_in_two_axes_it_is_asked() -> None:
    inputs = torch.randint(4, (3, 4), generator=DRAWS)
    data = Examples(inputs, inputs, inputs, inputs, 4, "square")
    with pytest.raises(UserError, match=r"loss\.axis=second or loss\.axis=last"):
        Network(partial(GPT, heads=1, width=4), data)
    Network(partial(GPT, heads=1, width=4), data, loss=CrossEntropy(axis="last"))


def test_decay_of_weights_leaves_biases_alone() -> None:
    case = CASES["mse"]
    network = Network(case.model, case.data, DECAY, case.loss, decay="weights")
    theta = network.init(1, stream(0, "init")).double()
    weights = [
        part for name, part in network.function.weights(theta[0]).items() if "weight" in name
    ]
    squares = sum(float(part.square().sum()) for part in weights)
    bare = Network(case.model, case.data, 0.0, case.loss)
    difference = float(network.losses(theta) - bare.losses(theta))
    assert difference == pytest.approx(DECAY / 2 * squares, rel=1e-9)
    assert network.gap(theta[0]).value == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("loss", ["mse", "huber", "binary"])
def test_one_output_without_an_axis(loss: str) -> None:
    """Modules that end in `squeeze(1)`: outputs and targets [b]. Their scores had asked for a
    second axis."""

    class Squeezed(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            return super().forward(inputs).squeeze(1)

    inputs = torch.randn(30, 3, generator=stream(0, "inputs"))
    targets = (inputs[:, 0] > 0).float()
    flat = sgdtheory.landscape(Squeezed(3, 1), train=(inputs, targets), loss=loss)
    upright = sgdtheory.landscape(nn.Linear(3, 1), train=(inputs, targets[:, None]), loss=loss)
    theta = torch.randn(2, 4, generator=stream(0, "theta"))
    for found, expected in zip(
        flat.score(theta, "train"), upright.score(theta, "train"), strict=True
    ):
        assert torch.equal(found, expected)
