"""A module as one deterministic function of its trainable parameters and a batch.

What is descended, scored, differentiated and handed out is the module in evaluation mode, as its
author wrote it; that batch norms use the statistics of the batch is the one difference. All that is
neither a trainable parameter nor a statistic of batch norm is a constant, the same everywhere.
"""

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sgdtheory.errors import UserError
from sgdtheory.landscapes.batch_norm import (
    batch_statistics_only,
    has_batch_norm,
    with_population_statistics,
)
from sgdtheory.landscapes.logits import logits_of
from sgdtheory.landscapes.module_parts import (
    constants_of,
    fill,
    keeping_statistics,
    refuse_frozen_batch_norms,
    refuse_kinds,
    refuse_overlaps,
    refuse_rescaled_embeddings,
    refuse_shared,
)
from sgdtheory.landscapes.names import matching, tied_names
from sgdtheory.landscapes.padding import keep_padding
from sgdtheory.landscapes.swapped import Swapped
from sgdtheory.landscapes.written import as_written, drawing_from
from sgdtheory.protocol import TensorsByName
from sgdtheory.rng import stream
from sgdtheory.runs.tensors import Tensors

_ABSENT = object()  # an attribute that was not there


class _Attribute(NamedTuple):
    """A plain attribute of a part of a module, and what it was before a forward pass."""

    part: nn.Module
    name: str
    before: object


class ModuleFunction:
    """f(θ, x) of θ [n], the trainable parameters of a module in its own order, and inputs x [b, …].

    `build` gives a fresh module; torch's, numpy's and Python's generators stand at a fixed place
    when it is called, so that buffers drawn in a constructor are the same in every process.
    `parameters`: a regular expression; parameters whose names it does not match are constants, as
    are those that do not require a gradient. `entry`: see `logits_of`. `example`: two inputs, for
    modules that find out their shapes in the first pass. One input is evaluated beside itself where
    the module gives it alone another shape, as one that ends in `squeeze()` does.
    """

    def __init__(
        self,
        build: Callable[[], nn.Module],
        parameters: str | None,
        entry: str | int | None,
        example: Tensor,
        device: torch.device,
    ) -> None:
        self._build = build
        self._entry = entry
        self._example = example if len(example) > 1 else torch.cat([example, example])
        self.device = device
        plain = keeping_statistics(self.fresh(stream(0, "module")))
        module = self.fresh(stream(0, "module"))
        refuse_shared(plain, module)
        refuse_frozen_batch_norms(module)
        batch_statistics_only(module)
        keep_padding(module)
        self.plain = plain.to(device)
        self.module = module.to(device)
        chosen = {}
        for name, parameter in plain.named_parameters():
            if parameter.requires_grad:
                chosen[name] = parameter
        if parameters is not None:
            names = matching(chosen, parameters, "landscape.parameters", tied_names(plain))
            chosen = {name: chosen[name] for name in names}
        kind = type(plain).__name__
        refuse_kinds(chosen, kind)
        refuse_overlaps(chosen, kind)
        refuse_rescaled_embeddings(plain)
        self.shapes = {name: p.shape for name, p in chosen.items()}
        self.sizes = [p.numel() for p in chosen.values()]
        if not self.sizes:
            raise UserError(f"model: {kind} has no parameters to train; give a model that has some")
        self.constants = constants_of(self.plain, self.shapes)
        self.has_batch_norm = has_batch_norm(self.module)
        self._cast: dict[torch.dtype, TensorsByName] = {}
        self._left: dict[nn.Module, list[_Attribute]] = {}
        self._writes_inputs = False
        self._in_pairs: set[nn.Module] = set()  # that are never given one input alone
        theta = self.vector(self.plain).float()
        weights = self.weights(theta.to(device))
        self._swapped = {module: Swapped(module) for module in (self.module, self.plain)}
        for module in (self.module, self.plain):
            attempt = partial(self._try, module, weights)
            self._left[module], outputs = _left_behind(module, attempt)
        self.example_outputs = outputs[: len(example)]  # at the first random point, [2, …]
        for module in (self.module, self.plain):
            if self._is_other_alone(module, weights):
                self._in_pairs.add(module)

    @property
    def name(self) -> str:
        kind = type(self.plain).__name__
        return str(getattr(self.plain, "title", kind))

    def fresh(self, source: torch.Generator) -> nn.Module:
        """A new module; its constructor's random draws are taken from `source`."""
        with drawing_from(source):
            module = self._build()
            tensors = (*module.parameters(), *module.buffers())
            if any(map(is_lazy, tensors)):
                module.eval()(self._example)
        return module

    def with_constants(self, constants: Tensors) -> "ModuleFunction":
        """The same function with other constants [their own shapes]; UserError where they are not
        this module's."""
        changed = {}
        for name, value in constants.items():
            own = self.constants.get(name)
            if own is None or own.shape != value.shape:
                shape = list(value.shape)
                raise UserError(f"{name} {shape} is no constant of {self.name}")
            changed[name] = value.detach().to(own, copy=True)  # theirs may change
        other = copy(self)
        other.constants = self.constants | changed
        other._cast = {}
        return other

    # calling it

    def weights(self, cloud: Tensor) -> TensorsByName:
        """Parameters by name [..., their own shapes], views of θ [..., n]. One split: its backward
        pass is one cat."""
        lead = cloud.shape[:-1]
        pieces = cloud.split(self.sizes, -1)
        weights = {}
        for name, piece in zip(self.shapes, pieces, strict=True):
            shape = lead + self.shapes[name]
            weights[name] = piece.view(shape)
        return weights

    def on_batch(self, weights: Tensors, inputs: Tensor) -> Tensor:
        """Outputs [b, K] of inputs [b, …], batch norms using the statistics of these inputs."""
        return self._call(self.module, weights, inputs)

    def with_statistics(self, weights: Tensors, statistics: Tensors, inputs: Tensor) -> Tensor:
        """Outputs [b, K] of inputs [b, …] of the author's own module in evaluation mode, batch
        norms using `statistics` [channels]."""
        values = {**weights, **statistics}
        return self._call(self.plain, values, inputs)

    def _call(self, module: nn.Module, values: Tensors, inputs: Tensor) -> Tensor:
        count = len(inputs)
        inputs = self._never_alone(module, inputs)
        outputs = self._as_it_is(module, values, inputs)
        if outputs.shape[:1] != inputs.shape[:1]:
            raise UserError(
                f"model: {self.name} gives outputs {list(outputs.shape)} for {len(inputs)} "
                f"examples; their first axis must be the examples'"
            )
        return outputs if len(outputs) == count else outputs[:count]

    def _as_it_is(self, module: nn.Module, values: Tensors, inputs: Tensor) -> Tensor:
        """What the module gives of inputs [b, …], in the dtype that it computes in."""
        for part, name, before in self._left.get(module, ()):
            if before is _ABSENT:
                part.__dict__.pop(name, None)
            else:
                part.__dict__[name] = before
        named = dict(values)
        dtype = next(iter(values.values())).dtype
        if self.constants:
            named |= self.constants_in(dtype)
        if self._writes_inputs:
            inputs = inputs.clone()  # or the next pass would see what this one left
        outputs = logits_of(self._swapped[module](named, inputs), self._entry)
        if outputs.is_floating_point():  # some end in float32 whatever they compute in
            return outputs.to(dtype)
        return outputs

    def _never_alone(self, module: nn.Module, inputs: Tensor) -> Tensor:
        """Inputs [b, …]: one beside itself where the module is not to see it alone."""
        if len(inputs) == 1 and module in self._in_pairs:
            return torch.cat([inputs, inputs])
        return inputs

    def _is_other_alone(self, module: nn.Module, weights: Tensors) -> bool:
        """Whether a module gives one input alone another shape than beside another one, or fails;
        not where a batch norm sees one value, which it is to say."""
        inputs = self._example[:1].to(self.device)
        try:
            with torch.no_grad(), as_written(torch.float32):
                outputs = self._as_it_is(module, weights, inputs)
        except UserError:
            return False
        except Exception:  # of whatever kind: it is a stranger's code
            return module is self.plain or not self.has_batch_norm
        return outputs.shape != (1, *self.example_outputs.shape[1:])

    def outputs_of(self, module: nn.Module, inputs: Tensor) -> Tensor:
        """Outputs [b, …] of another module of this architecture for inputs [b, …]."""
        outputs = logits_of(module(self._never_alone(self.plain, inputs)), self._entry)
        return outputs[: len(inputs)]

    def _try(self, module: nn.Module, weights: Tensors) -> Tensor:
        """Outputs [2, …] of one pass over the example, to see what it leaves behind; UserError
        where it changes its parameters."""
        before = {}
        for name, value in weights.items():
            before[name] = (value.data_ptr(), value.clone())
        inputs = self._example.to(self.device).clone()
        with torch.no_grad(), as_written(torch.float32):
            outputs = self._call(module, weights, inputs)
        if not torch.equal(inputs, self._example.to(self.device)):
            self._writes_inputs = True
        for name, (place, value) in before.items():
            after = weights[name]
            if after.data_ptr() != place or not torch.equal(after, value):
                raise UserError(
                    f"model: {name} of {self.name} is changed by a pass in evaluation mode; this "
                    f"tool descends one function of the parameters: change a copy of it"
                )
        return outputs

    def constants_in(self, dtype: torch.dtype) -> TensorsByName:
        """The constants [their own shapes], those that are floating numbers in the dtype of what is
        computed."""
        if dtype not in self._cast:
            cast = {}
            for name, value in self.constants.items():
                cast[name] = value
                if value.is_floating_point():
                    cast[name] = value.to(dtype)
            self._cast[dtype] = cast
        return self._cast[dtype]

    # modules as others know them

    def vector(self, module: nn.Module) -> Tensor:
        """The point θ [n] at which a module of this architecture stands."""
        named = dict(module.named_parameters())
        parts = []
        for name in self.shapes:
            weights = named[name].detach()
            if weights.dtype in (torch.float16, torch.bfloat16):  # no dtype to descend in
                weights = weights.float()
            parts.append(weights.reshape(-1))
        return torch.cat(parts)

    def at(self, theta: Tensor, statistics: Tensors) -> nn.Module:
        """An ordinary module in evaluation mode with the weights θ [n] and statistics
        [channels]."""
        module = self.fresh(stream(0, "module"))
        module = module.to(device=theta.device, dtype=theta.dtype)
        values = {**self.weights(theta), **self.constants_in(theta.dtype)}
        fill(module, values)
        return with_population_statistics(module, {}, dict(statistics))


def _left_behind(
    module: nn.Module, forward: Callable[[], Tensor]
) -> tuple[list[_Attribute], Tensor]:
    """What a forward pass changes of a module's plain attributes, with their values before it, and
    its outputs [2, …].

    A kept result would be that of other weights at the next point, so it is put back before every
    call. What a pass leaves inside lists or dictionaries is seen by the self-check.
    """
    before = {part: dict(part.__dict__) for part in module.modules()}
    outputs = forward()
    changed = []
    for part, attributes in before.items():
        for name, value in part.__dict__.items():
            old = attributes.get(name, _ABSENT)
            if value is not old:
                changed.append(_Attribute(part, name, old))
    return changed, outputs
