"""Any classification model of torchvision by its name, untrained."""

from typing import Any, cast

import torch
from torch import nn

from sgdtheory.annotations import PositiveInt
from sgdtheory.errors import UserError, nearest


def torchvision_model(shape: tuple[int, int, int], classes: PositiveInt, name: str) -> nn.Module:
    """torchvision.models.<name> with random weights, a head of `classes`, a first convolution for
    the channels.

    Its layers and its initialisation are torchvision's own, made for images of 224×224: a model
    that these images are too small for is refused, found out by one forward pass.
    """
    from torchvision import models  # here, because importing it costs two seconds

    known = models.list_models(module=models)
    if name not in known:
        raise UserError(
            f"model.name={name}: no classification model of torchvision has this "
            f"name{nearest(name, known)}"
        )
    try:
        model: nn.Module = models.get_model(
            name, weights=None, num_classes=classes, **_settings(name, shape)
        )
        _adapt_channels(model, shape[0], name)
        model.eval()(torch.zeros(1, *shape))
    except UserError:
        raise
    except (RuntimeError, ValueError, AssertionError, ZeroDivisionError) as fault:
        size = "x".join(map(str, shape))
        raise UserError(
            f"model.name={name}: does not take images of {size} "
            f"({str(fault).splitlines()[0]}); try resnet18"
        ) from fault
    return model.train()


def _settings(name: str, shape: tuple[int, int, int]) -> dict[str, Any]:
    """What a family needs to be told about the images, or so that its output is logits alone."""
    if name.startswith("vit_"):
        return {"image_size": shape[1]}
    if name.startswith("maxvit"):
        return {"input_size": shape[1:]}
    if name in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": True}
    return {}


def _adapt_channels(model: nn.Module, channels: int, name: str) -> None:
    """Replace the convolution that reads the three colours by one that reads `channels`."""
    if channels == 3:
        return
    for path, part in model.named_modules():
        if isinstance(part, nn.Conv2d) and part.in_channels == 3 and part.groups == 1:
            parent, _, attribute = path.rpartition(".")
            setattr(model.get_submodule(parent), attribute, _convolution_like(part, channels))
            return
    raise UserError(
        f"model.name={name}: no first convolution that could be made to read {channels} "
        f"channels instead of 3"
    )


def _convolution_like(old: nn.Conv2d, channels: int) -> nn.Conv2d:
    kernel = cast(tuple[int, int], old.kernel_size)
    stride = cast(tuple[int, int], old.stride)
    padding = cast(tuple[int, int], old.padding)
    new = nn.Conv2d(channels, old.out_channels, kernel, stride, padding, bias=old.bias is not None)
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    return new
