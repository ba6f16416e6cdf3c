"""A network's symmetry, found by watching one forward pass."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from sgdtheory.errors import UserError
from sgdtheory.paths.channel_labels import ChannelLabels, Label, freeze, tensors_in
from sgdtheory.paths.channel_rules import RULES
from sgdtheory.paths.symmetry import Symmetry
from sgdtheory.rng import stream as new_stream

CONSTANTS = ("zeros_like", "ones_like", "new_zeros", "new_ones")  # take but a tensor's shape
FACTS = (bool, int, float, str, torch.Size, torch.dtype, torch.device)  # of a tensor: no numbers
ROUNDING = 1e-6  # relative, in float64: by how much outputs may move where units are renumbered


def find_symmetry(module: nn.Module, shape: tuple[int, ...]) -> Symmetry:
    """The permutation symmetry of a module that maps images [b, *shape] to outputs [b, classes].

    A linear layer's outputs are new units and its inputs those of what it reads; batch norm, ReLU
    and pooling keep the units; a sum makes two tensors' units one (all blocks of a residual stage
    share theirs); concatenation lines them up; flattening gives each channel a block of pixels;
    channels padded with zeros are units of their own, tied to what is added to them. Inputs and
    classes stay where they are. Nothing depends on how the module is written, only on the
    operations it calls; one that is not known here is a UserError that names it. The outcome is
    tried out on random weights before it is returned.
    """
    watched = deepcopy(module).cpu().double().eval()  # without dropout
    for part in watched.modules():
        if isinstance(part, _BatchNorm):
            part.train()  # whose running statistics, were they used, would have to move as well
    stream = new_stream(0, "alignment")
    images = torch.randn(4, *shape, generator=stream, dtype=torch.float64)
    labels = ChannelLabels(watched, images)
    with torch.no_grad(), _Watched(labels):
        outputs = watched(images)
    if not isinstance(outputs, Tensor) or not labels.is_labelled(outputs):
        raise UserError(
            f"alignment: {type(module).__name__} does not return one tensor that depends on "
            f"its input"
        )
    freeze(labels.channels(outputs))
    shapes = {name: part.shape for name, part in watched.named_parameters()}
    symmetry = Symmetry(shapes, labels.groups())
    _try_out(symmetry, watched, images)
    return symmetry


def _try_out(symmetry: Symmetry, module: nn.Module, images: Tensor) -> None:
    """The function of images [b, …] must not change when every group is renumbered: what was
    derived is not taken on trust."""
    flat = [part.detach().flatten() for part in module.parameters()]
    theta = torch.cat(flat)
    stream = new_stream(0, "alignment", "try")
    shakes = torch.randn(theta.shape, generator=stream, dtype=theta.dtype)
    theta = theta + 0.1 * shakes  # batch norms start all alike
    renumbered = symmetry.apply(theta, symmetry.random(stream))
    with torch.no_grad():
        before = functional_call(module, symmetry.parts(theta), (images,))
        after = functional_call(module, symmetry.parts(renumbered), (images,))
    size = before.abs().max().clamp_min(1.0)
    difference = (after - before).abs().max()
    if not difference <= ROUNDING * size:
        raise UserError(
            f"alignment: renumbering the units that seem alike changes what "
            f"{type(module).__name__} computes"
        )


class _Watched(TorchFunctionMode):
    """In this block every tensor that an operation makes gets its label."""

    def __init__(self, labels: ChannelLabels) -> None:
        super().__init__()
        self._labels = labels

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        named = kwargs or {}
        out = func(*args, **named)
        name = getattr(func, "__name__", str(func))
        tensors = tensors_in([*args, *named.values()])
        given = [tensor for tensor in tensors if self._is_known(tensor)]
        if name in CONSTANTS or not given or isinstance(out, FACTS):
            return out
        rule = RULES.get(name.strip("_"))
        label: Label | None = None
        if rule is not None and isinstance(out, Tensor):
            label = rule(self._labels, out, *args, **named)
        if label is None or not isinstance(out, Tensor):
            raise UserError(
                f"alignment: it is not known how hidden units may be renumbered across "
                f"{name!r} of {self._words(given[0])}, as this network"
                " uses it; a rule for it belongs in RULES of sgdtheory/paths/channel_rules.py"
            )
        self._labels.add(out, label)
        return out

    def _is_known(self, tensor: Tensor) -> bool:
        return self._labels.is_labelled(tensor) or self._labels.is_parameter(tensor)

    def _words(self, tensor: Tensor) -> str:
        """A parameter's name, else a tensor's shape."""
        shape = "x".join(map(str, tensor.shape))
        unnamed = f"a tensor of shape {shape}"
        return self._labels.names.get(id(tensor), unnamed)
