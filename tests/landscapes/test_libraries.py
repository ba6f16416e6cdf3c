"""Networks of the libraries that people take theirs from: each is right, or refused in a line."""

import os
import warnings
from functools import partial

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers and timm look for it: nothing is fetched

from sgdtheory.errors import UserError
from sgdtheory.landscapes.network import Network
from sgdtheory.models.custom import custom
from tests.landscapes.libraries import REFUSED, RIGHT, Case
from tests.landscapes.twins import demand_what_is_descended, demand_what_is_scored

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


QUICK = [  # one of each kind; all take twice as long
    "timm_vit",
    "timm_eva",
    "timm_swin",
    "timm_mixer",
    "timm_efficientnet",
    "torchvision_vit",
    "gpt2",
    "gpt2_classes",
    "llama",
    "mamba",
    "mixtral",
    "t5_encoder",
    "bert",
    "albert",
    "deberta",
    "hf_vit",
    "hf_resnet",
]
EACH = [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in RIGHT]


def network(case: Case) -> Network:
    return Network(partial(custom, factory=case.factory), case.data, weight_decay=0.01)


def test_there_are_enough_of_them() -> None:
    assert len(RIGHT) >= 30 and set(QUICK) < set(RIGHT)


@pytest.mark.parametrize("name", EACH)
def test_is_right(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    landscape = network(RIGHT[name])
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="There is a performance drop")
        said = landscape.check()
    assert "no Hessian-vector products" not in said
    demand_what_is_descended(landscape, RIGHT[name].factory)
    demand_what_is_scored(landscape, monkeypatch)


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused(name: str) -> None:
    case, says = REFUSED[name]
    with pytest.raises(UserError, match=says) as fault:
        network(case).check()
    assert len(str(fault.value).splitlines()) == 1 and len(str(fault.value)) <= 400
