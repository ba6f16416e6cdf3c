"""A network's symmetry, found by watching one forward pass."""

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode

from sgdtheory.annotations import Shape
from sgdtheory.errors import UserError
from sgdtheory.landscapes.logits import logits_of
from sgdtheory.landscapes.module_parts import fill
from sgdtheory.landscapes.written import as_written
from sgdtheory.paths.matching import random_rotation
from sgdtheory.paths.symmetry import Parts, Symmetry
from sgdtheory.paths.units.factors import frozen
from sgdtheory.paths.units.groups import FoundGroups
from sgdtheory.paths.units.label import Label
from sgdtheory.paths.units.labels import UnitLabels, tensors_in
from sgdtheory.paths.units.products import note_read
from sgdtheory.paths.units.rules import CONTRACTIONS, LAYOUT, POINTWISE, RULES, SCALINGS, SUMS
from sgdtheory.rng import stream as new_stream
from sgdtheory.runs.tensors import Tensors

CONSTANTS = ("zeros_like", "ones_like", "empty_like", "new_zeros", "new_ones", "new_empty")
ROUNDING = 1e-6  # relative, in float64: by how much outputs may move where units are renumbered

Forward = Callable[[nn.Module, Tensor], Tensor]  # (module, inputs [b, …]) → outputs [b, …]


def outputs_of(module: nn.Module, inputs: Tensor) -> Tensor:
    """Outputs [b, …] among what a module returns for inputs [b, …]."""
    return logits_of(module(inputs))


def find_symmetry(
    module: nn.Module,
    inputs: Tensor | Shape,
    trained: Collection[str] | None = None,
    constants: Tensors | None = None,
    forward: Forward = outputs_of,
) -> Symmetry:
    """The symmetry of a module that maps inputs [b, …] to outputs [b, …].

    `inputs`: a few of them, or the shape of one, for which random numbers are taken. `trained`:
    the names of the parameters that θ is made of (None: all). `constants`: values [their own
    shapes] of others and of buffers, where they are not the module's own.

    An axis of a parameter is new units. A contraction of two axes, a sum or product of two tensors
    makes their units one (all blocks of a residual stage or of a transformer share theirs);
    concatenation lines them up; a view splits them, into heads and the dimensions of each, or gives
    each channel a block of pixels; norms over groups of channels let these move whole, and channels
    inside of each; channels padded with zeros are units of their own, tied to what is added to
    them. Inputs, places and classes stay where they are, and so do units that a constant or an
    index tells apart. A stream that only sums, contractions and RMS norms touch may be turned
    besides (see `Symmetry.turned`). Nothing depends on how the module is written, only on the
    operations it comes down to; one that is not known here is a UserError that names it. The
    outcome is tried out on random weights before it is returned.
    """
    watched = _copy(module, constants or {})
    examples = _examples(inputs)
    parameters = dict(watched.named_parameters())
    if trained is not None:
        parameters = {name: part for name, part in parameters.items() if name in trained}
    labels = UnitLabels(parameters, examples)
    with torch.no_grad(), as_written(torch.float64):
        with _Watched(labels):
            outputs = forward(watched, examples)
        if not labels.is_labelled(outputs):
            raise UserError(
                f"alignment: {type(module).__name__} does not return one tensor that depends on "
                f"its input"
            )
        frozen(labels.units, labels.of(outputs), tuple(outputs.shape))
        found = FoundGroups(labels)
        shapes = {name: part.shape for name, part in parameters.items()}
        symmetry = Symmetry(shapes, found.groups, found.turnable)
        _try_out(symmetry, watched, forward, examples)
    return symmetry


def _copy(module: nn.Module, constants: Tensors) -> nn.Module:
    """Without dropout. Batch norms use the statistics of the batch: running ones, were they used,
    would have to move as well."""
    watched = deepcopy(module).cpu().double().eval()
    fill(watched, constants)
    for part in watched.modules():
        if isinstance(part, _BatchNorm):
            part.train()
    return watched


def _examples(inputs: Tensor | Shape) -> Tensor:
    """Four inputs [4, …], or those given, [b, …]."""
    if not isinstance(inputs, Tensor):
        stream = new_stream(0, "alignment")
        return torch.randn(4, *inputs, generator=stream, dtype=torch.float64)
    if inputs.is_floating_point():
        return inputs.detach().cpu().double()
    return inputs.detach().cpu().clone()


def _try_out(symmetry: Symmetry, module: nn.Module, forward: Forward, inputs: Tensor) -> None:
    """The function of inputs [b, …] must not change when every group is renumbered and every stream
    turned: what was derived is not taken on trust."""
    parameters = dict(module.named_parameters())
    theta = symmetry.vector({name: parameters[name].detach() for name in symmetry.shapes})
    stream = new_stream(0, "alignment", "try")
    shakes = torch.randn(theta.shape, generator=stream, dtype=theta.dtype)
    theta = theta + 0.1 * shakes  # norms start all alike
    renumbered = symmetry.apply(theta, symmetry.random(stream))
    others = [renumbered]
    if symmetry.turnable:
        sizes = [turnable.group.size for turnable in symmetry.turnable]
        rotations = [random_rotation(size, stream) for size in sizes]
        others.append(symmetry.turned(renumbered, rotations))
    before = _outputs_at(symmetry.parts(theta), module, forward, inputs)
    size = before.abs().max().clamp_min(1.0)
    for other in others:
        after = _outputs_at(symmetry.parts(other), module, forward, inputs)
        difference = (after - before).abs().max()
        if not difference <= ROUNDING * size:
            raise UserError(
                f"alignment: renumbering the units that seem alike changes what "
                f"{type(module).__name__} computes"
            )


def _outputs_at(parts: Parts, module: nn.Module, forward: Forward, inputs: Tensor) -> Tensor:
    """Outputs [b, …] for inputs [b, …] with these parameters, which are the module's from then
    on."""
    fill(module, parts)
    return forward(module, inputs)


class _Watched(TorchDispatchMode):
    """In this block every tensor that an operation makes gets its label."""

    def __init__(self, labels: UnitLabels) -> None:
        super().__init__()
        self._labels = labels

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: the modules that are watched are not compiled, and to tell the compiler so imports
        it, which takes two seconds."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        named = kwargs or {}
        name = str(func.overloadpacket.__name__).strip("_")
        given = [x for x in tensors_in([args, named]) if self._is_known(x)]
        if name in CONSTANTS or not given:
            return func(*args, **named)
        is_new = not (func.overloadpacket.__name__.endswith("_") and not self._may_write(args))
        for tensor in given:
            self._note(name, tensor)
        out = func(*args, **named)
        made = list(tensors_in(out))
        if not made:  # a number or a fact
            return out
        rule = RULES.get(name)
        if rule is None and torch.Tag.pointwise in func.tags:
            rule = POINTWISE
        found = None
        if rule is not None and is_new and not any(map(self._labels.is_unknown, given)):
            found = rule(self._labels, out, *args, **named)
        if found is None:
            raise UserError(
                f"alignment: it is not known how hidden units may be renumbered across "
                f"{name!r} of {self._words(given[0])}, as this network"
                " uses it; a rule for it belongs in RULES of sgdtheory/paths/units/rules.py"
            )
        self._add(made, found)
        return out

    def _add(self, made: list[Tensor], found: Label | list[Label]) -> None:
        """The labels of what was made; without one it is not followed further."""
        labels = found if isinstance(found, list) else [found]
        for tensor, label in zip(made, labels, strict=False):
            self._labels.add(tensor, label)
        for tensor in made[len(labels) :]:
            self._labels.add_unknown(tensor)

    def _may_write(self, args: Sequence[object]) -> bool:
        """Whether an operation may write into its first argument: not into a part of a constant,
        which would not be one any more."""
        target = args[0]
        return not isinstance(target, Tensor) or self._is_known(target) or not target._is_view()

    def _note(self, name: str, tensor: Tensor) -> None:
        """What an operation that is about to use a tensor […] means for its rotations."""
        label = self._labels.of(tensor)
        if name in LAYOUT:
            return
        if name not in CONTRACTIONS and name not in SCALINGS:
            note_read(self._labels, label)
        if label.scaled_by is not None and name not in CONTRACTIONS:
            self._labels.bend(label)
        if label.is_square and name not in SUMS:
            self._labels.bend(label)

    def _is_known(self, tensor: Tensor) -> bool:
        return self._labels.is_labelled(tensor) or self._labels.is_unknown(tensor)

    def _words(self, tensor: Tensor) -> str:
        """A parameter's name, else a tensor's shape."""
        label = self._labels.of(tensor)
        shape = "x".join(map(str, tensor.shape))
        return label.parameter or f"a tensor of shape {shape}"
