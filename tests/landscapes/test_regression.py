"""The small regression and the text model keep a landscape's promises, and are what their formulas
say."""

from functools import partial
from math import log

import pytest
import torch
from torch import Tensor, nn

from sgdtheory.data.text import SYMBOLS, topics
from sgdtheory.errors import UserError
from sgdtheory.landscapes.network import Network
from sgdtheory.models.lstm import LSTM
from sgdtheory.optim.descent import lbfgs
from sgdtheory.protocol import hvp, value_and_grad, values
from sgdtheory.rng import stream
from tests.landscapes import contracts
from tests.small_networks import regression


def twin(theta: Tensor, degree: int) -> Tensor:
    """1-4-4-1 of one point, written out; y = x^degree with mean 1/(d + 1) and the moments of the
    128 points themselves."""
    x = torch.arange(128, dtype=torch.float64) / 127
    y = x**degree
    x, y = ((z - z.mean()) / ((z - z.mean()) ** 2).mean().sqrt() for z in (x, y))
    w1, b1, w2, b2, w3, b3 = theta.split([4, 4, 16, 4, 4, 1])
    hidden = torch.sigmoid(x[:, None] * w1 + b1)
    hidden = torch.sigmoid(hidden @ w2.view(4, 4).T + b2)
    return ((hidden @ w3 + b3 - y) ** 2).mean()


@pytest.mark.parametrize("degree", [2, 3])
def test_the_regression_is_its_formula(degree: int) -> None:
    contracts.derivatives_agree(regression(degree), lambda theta: twin(theta, degree))


def test_a_wrong_target_is_seen() -> None:
    with pytest.raises(AssertionError):
        contracts.derivatives_agree(regression(2), lambda theta: twin(theta, 3))


def test_the_regression_keeps_the_promises_of_rows_and_precision() -> None:
    contracts.rows_are_independent(regression())
    contracts.precision_follows_the_cloud(regression())


@pytest.mark.parametrize(("degree", "left"), [(2, 1 / 16), (3, 4 / 25)])
def test_its_loss_is_the_share_of_variance_left(degree: int, left: float) -> None:
    """A constant leaves 1; a unit in its linear range leaves what a straight line does, 1 − r² of
    uniform x."""
    net = regression(degree, hidden=(1,), examples=4000)
    nothing = torch.zeros(1, net.dim, dtype=torch.float64)
    assert float(net.losses(nothing)) == pytest.approx(1.0)
    slope = 1e-3  # σ(sx) ≈ ½ + sx/4
    r = (1 - left) ** 0.5
    line = torch.tensor([[slope, 0.0, 4 * r / slope, -2 * r / slope]], dtype=torch.float64)
    assert float(net.losses(line)) == pytest.approx(left, rel=1e-3)


def test_batches_are_unbiased_and_exact() -> None:
    net = regression()
    cloud = net.init(3, stream(0, "init")).double()
    every = torch.arange(net.count).view(8, 16)
    parts = torch.stack([net.losses(cloud, net.batch(indices.expand(3, 16))) for indices in every])
    torch.testing.assert_close(parts.mean(0), net.losses(cloud))


# text


def test_the_text_is_english_and_its_splits_do_not_meet() -> None:
    text = topics(train=50, test=20, window=30)
    assert text.train_inputs.shape == text.train_targets.shape == (
        50,
        30,
    ) and text.test_inputs.shape == (20, 30)
    assert torch.equal(
        text.train_inputs[:, 1:].long(), text.train_targets[:, :-1]
    )  # the next character is the next one
    said = "".join(SYMBOLS[code] for code in text.train_inputs.flatten().tolist())
    assert 0.1 < said.count(" ") / len(said) < 0.25 and said.count("e") > said.count("q")
    assert torch.equal(text.train_inputs, topics(50, 20, 30).train_inputs)


def test_more_text_than_there_is_is_refused() -> None:
    with pytest.raises(UserError, match="more than the"):
        topics(train=100_000)


def small(weight_decay: float = 0.0) -> Network:
    return Network(partial(LSTM, embedding=3, hidden=4), topics(24, 12, 6), weight_decay)


def test_at_zero_weights_every_character_is_as_likely() -> None:
    model = small()
    zero = torch.zeros(1, model.dim, dtype=torch.float64)
    assert float(model.losses(zero)) == pytest.approx(log(27))
    assert float(model.score(zero, "test").losses.mean()) == pytest.approx(log(27))


def test_its_loss_is_that_of_an_ordinary_module() -> None:
    model = small(weight_decay=0.1)
    theta = model.init(1, stream(0, "init")).double()
    module = model.model_at(theta[0])
    data = model.data
    logits = module(data.train_inputs)
    plain = nn.functional.cross_entropy(logits, data.train_targets) + 0.05 * theta.square().sum()
    torch.testing.assert_close(model.losses(theta)[0], plain.detach())
    torch.testing.assert_close(
        model.losses(theta)[0] - 0.05 * theta.square().sum(),
        model.score(theta, "train").losses.mean(),
    )
    assert model.title.startswith("LSTM (") and model.vector(module).shape == (model.dim,)


def test_rows_batches_and_derivatives_of_the_text_model() -> None:
    model = small()
    contracts.rows_are_independent(model)
    cloud = model.init(2, stream(0, "init")).double()
    indices = torch.arange(24).view(2, 12)
    halves = [model.losses(cloud, model.batch(half[None])) for half in indices]
    torch.testing.assert_close(torch.stack(halves).mean(0), values(model, cloud))
    _, gradients = value_and_grad(model, cloud)
    vectors = torch.randn(cloud.shape, generator=stream(0, "v"), dtype=torch.float64)
    products, step = hvp(model, cloud, vectors), 1e-6
    ahead, back = (value_and_grad(model, cloud + side * step * vectors)[1] for side in (1, -1))
    torch.testing.assert_close(products, (ahead - back) / (2 * step), rtol=1e-5, atol=1e-7)
    assert bool((gradients.norm(dim=1) > 0).all())


def test_an_order_of_characters_that_does_not_matter_would_be_seen() -> None:
    """What comes before a character changes what is said after it: the state is carried on."""
    model = small().model_at(small().init(1, stream(0, "init"))[0])
    first, second = (model(torch.tensor([[code, 5, 6]]))[0, :, 2] for code in (1, 20))
    assert not torch.allclose(first, second)


def test_the_regression_goes_down_to_a_minimum() -> None:
    found = lbfgs(regression(), regression().init(1, stream(0, "init")).double(), 300)
    assert float(regression().losses(found)) < 1e-4
