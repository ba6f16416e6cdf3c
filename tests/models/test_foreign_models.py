"""Networks that others wrote: torchvision's by name, and a user's own."""

import subprocess
import sys
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from sgdtheory.errors import UserError
from sgdtheory.models.custom import custom
from sgdtheory.models.torchvision import torchvision_model


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8)], ids=str)
def test_torchvision_by_name(shape: tuple[int, int, int]) -> None:
    model = torchvision_model(shape, 7, "shufflenet_v2_x0_5")
    assert model.training
    assert model(torch.zeros(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize(
    ("shape", "name", "message"),
    [
        ((3, 32, 32), "resnet81", "did you mean 'resnet18'"),
        ((1, 8, 8), "squeezenet1_1", "1x8x8"),
        ((3, 32, 32), "fcn_resnet50", "no classification model"),
    ],
)
def test_torchvision_refuses(shape: tuple[int, int, int], name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        torchvision_model(shape, 10, name)


class Flat(nn.Module):
    def __init__(self, classes: int, shape: tuple[int, int, int] = (1, 8, 8)) -> None:
        super().__init__()
        self.head = nn.Linear(shape[0] * shape[1] * shape[2], classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(images.flatten(1))
        return logits


def takes_classes_only(classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))


def takes_anything(**settings: object) -> nn.Module:
    assert set(settings) == {"shape", "classes"}
    return nn.Identity()


def takes_any_but_is_called_with(width: int, **settings: object) -> nn.Module:
    assert not settings
    return nn.Identity()


def takes_nothing() -> nn.Module:
    return nn.Identity()


def needs_more(shape: tuple[int, int, int], width: int) -> nn.Module:
    return nn.Identity()


def returns_a_dict() -> dict[str, int]:
    return {}


@pytest.mark.parametrize(
    "factory",
    [
        Flat,
        takes_classes_only,
        takes_anything,
        partial(takes_any_but_is_called_with, width=3),
        takes_nothing,
    ],
)
def test_custom_gives_what_the_factory_takes(factory: object) -> None:
    assert isinstance(custom((3, 4, 4), 5, factory), nn.Module)  # type: ignore[arg-type]


def test_custom_passes_shape_and_classes_on() -> None:
    assert custom((3, 4, 4), 5, Flat)(torch.zeros(2, 3, 4, 4)).shape == (2, 5)


def test_custom_refuses_what_it_cannot_call_or_use() -> None:
    with pytest.raises(UserError, match="missing a required argument: 'width'"):
        custom((1, 8, 8), 10, needs_more)
    with pytest.raises(UserError, match="test_foreign_models:returns_a_dict: returned a dict"):
        custom((1, 8, 8), 10, returns_a_dict)  # type: ignore[arg-type]


def test_importing_models_and_data_stays_cheap() -> None:
    modules = (
        "models.mlp models.cnn models.resnet models.densenet models.torchvision "
        "models.custom data.pack data.digits"
    )
    imports = "; ".join(
        f"import sgdtheory.{name}" for name in [*modules.split(), "data.torchvision_sets"]
    )
    watched = (
        "import torch; from sgdtheory.landscapes.network import Network; "
        "from sgdtheory.paths.baselines import symmetry_of; "
        "symmetry_of(Network(sgdtheory.models.mlp.MLP, sgdtheory.data.digits.digits(0.1)))"
    )
    costly = {"torchvision", "sklearn", "torch._dynamo", "sympy"}
    code = f"{imports}; {watched}; import sys; assert not {costly} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
