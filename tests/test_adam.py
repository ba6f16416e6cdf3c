"""Adam is torch's, in the one loop, and can be interrupted like it."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from sgdtheory.commandline.comments import comments_of
from sgdtheory.commandline.targets import CONFIGS
from sgdtheory.errors import UserError
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.optim.adam import Adam
from sgdtheory.optim.adamw import AdamW
from sgdtheory.optim.schedule import Constant, Cosine
from sgdtheory.optim.sgd import SGDState, Uncoupled
from sgdtheory.protocol import Cloud
from sgdtheory.rng import stream

BOWL = Quadratic(curvatures=(0.1, 0.5, 1.0, 2.0, 9.0))


def test_a_step_is_torchs_step() -> None:
    start = torch.randn(3, 5, generator=stream(0, "start"), dtype=torch.float64)
    parameter, schedule = nn.Parameter(start.clone()), Cosine()
    twin = torch.optim.Adam([parameter], lr=0.05, betas=(0.8, 0.99), eps=1e-6)
    for step in range(30):
        twin.param_groups[0]["lr"] = 0.05 * schedule(step, 30)
        twin.zero_grad()
        BOWL.losses(parameter).sum().backward()
        twin.step()
    *_, state = Adam(30, None, 0.05, schedule, 0.8, beta2=0.99, epsilon=1e-6).run(BOWL, start, 0)
    assert (state.cloud - parameter.detach()).abs().max() < 1e-13


def test_adamw_is_torchs() -> None:
    start = torch.randn(3, 5, generator=stream(0, "start"), dtype=torch.float64)
    parameter, schedule = nn.Parameter(start.clone()), Cosine()
    twin = torch.optim.AdamW([parameter], lr=0.05, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.3)
    for step in range(30):
        twin.param_groups[0]["lr"] = 0.05 * schedule(step, 30)
        twin.zero_grad()
        BOWL.losses(parameter).sum().backward()
        twin.step()
    ours = AdamW(30, None, 0.05, schedule, 0.8, beta2=0.99, epsilon=1e-6, decay=0.3)
    *_, state = ours.run(BOWL, start, 0)
    assert (state.cloud - parameter.detach()).abs().max() < 1e-13
    assert (
        state.cloud - [*Adam(30, None, 0.05, schedule).run(BOWL, start, 0)][-1].cloud
    ).norm() > 0


def test_the_decay_of_adamw_is_of_biases_and_norms_too_and_its_key_says_so() -> None:
    """A step without a gradient is θ ← (1 − ηλ)θ, as torch's is, whatever a parameter is for."""
    module = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    nn.init.constant_(module[1].bias, 0.7)
    before = nn.utils.parameters_to_vector(module.parameters()).detach().double()
    cloud = before[None].clone()
    adamw = AdamW(1, None, 0.05, Constant(), decay=0.3)
    adamw.step(cloud, adamw.init_state(cloud), torch.zeros_like(cloud), 0.05, 0)
    torch.testing.assert_close(cloud[0], (1 - 0.05 * 0.3) * before, rtol=1e-15, atol=0)
    said = comments_of((CONFIGS / "sgd/adamw.yaml").read_text(encoding="utf-8"))["decay"]
    assert "every parameter" in said and "biases and norms too" in said


def test_it_goes_on_to_the_same_bits() -> None:
    start = torch.randn(3, 5, generator=stream(0, "start"))
    adam = Adam(12, 4, 0.05, Constant())
    states = [
        SGDState(*(x.clone() if isinstance(x, torch.Tensor) else x for x in s))
        for s in adam.run(BOWL, start, 7)
    ]
    *_, again = adam.run(BOWL, states[4], 7)
    assert torch.equal(again.cloud, states[-1].cloud) and torch.equal(
        again.velocity, states[-1].velocity
    )
    assert states[0].velocity.shape == (2, 3, 5)


@dataclass(frozen=True)
class Transposed(Uncoupled):
    """A cloud whose rows do not lie one behind the other."""

    def project(self, cloud: Cloud) -> Cloud:
        return cloud.T.contiguous().T


def test_a_cloud_may_lie_in_memory_as_it_will() -> None:
    start = torch.randn(3, 5, generator=stream(0, "start"))
    adam = Adam(12, 4, 0.05, Constant())
    *_, plain = adam.run(BOWL, start, 7)
    *_, turned = adam.run(BOWL, start.T.contiguous().T, 7, Transposed())
    assert torch.equal(turned.cloud, plain.cloud)


def test_what_is_not_adam_is_refused() -> None:
    with pytest.raises(UserError, match="as a number"):
        Adam(1, None, "auto", Constant())
    with pytest.raises(UserError, match="nesterov=false"):
        Adam(1, None, 0.1, Constant(), nesterov=True)
