"""A module as one deterministic function of its trainable parameters and a batch.

What is descended, scored, differentiated and handed out is the module in evaluation mode, as its
author wrote it; that batch norms use the statistics of the batch is the one difference. All that is
neither a trainable parameter nor a statistic of batch norm is a constant, the same everywhere.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy

from sgdtheory.errors import UserError
from sgdtheory.landscapes.batch_norm import (
    batch_statistics_only,
    has_batch_norm,
    with_population_statistics,
)
from sgdtheory.rng import stream

_ABSENT = object()  # an attribute that was not there
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of a batch norm: recomputed


class _Attribute(NamedTuple):
    """A plain attribute of a part of a module, and what it was before a forward pass."""

    part: nn.Module
    name: str
    before: Any


class ModuleFunction:
    """f(θ, x) of θ [n], the trainable parameters of a module in its own order, and inputs x [b, …].

    `build` gives a fresh module; torch's, numpy's and Python's generators stand at a fixed place
    when it is called, so that buffers drawn in a constructor are the same in every process.
    `parameters`: a regular expression; parameters whose names it does not match are constants, as
    are those that do not require a gradient. `example`: two inputs, for modules that find out their
    shapes in the first pass.
    """

    def __init__(
        self,
        build: Callable[[], nn.Module],
        parameters: str | None,
        example: Tensor,
        device: torch.device,
    ) -> None:
        self._build, self._example, self.device = build, example, device
        self.plain = keeping_statistics(self.fresh(stream(0, "module"))).to(device)
        self.module = batch_statistics_only(self.fresh(stream(0, "module"))).to(device)
        named = dict(self.plain.named_parameters())
        chosen = {name: p for name, p in named.items() if p.requires_grad}
        if parameters is not None:
            chosen = _matching(chosen, parameters)
        _refuse_kinds(chosen, type(self.plain).__name__)
        self.shapes = {name: p.shape for name, p in chosen.items()}
        self.sizes = [p.numel() for p in chosen.values()]
        if not self.sizes:
            what = type(self.plain).__name__
            raise UserError(f"model: {what} has no parameters to train; give a model that has some")
        self.constants = constants_of(self.plain, self.shapes)
        self.has_batch_norm = has_batch_norm(self.module)
        self._cast: dict[torch.dtype, dict[str, Tensor]] = {}
        self._left: dict[nn.Module, list[_Attribute]] = {}
        weights = self.weights(self.vector(self.plain).float().to(device))
        for module in (self.module, self.plain):
            self._left[module] = _left_behind(module, partial(self._try, module, weights))

    @property
    def name(self) -> str:
        return str(getattr(self.plain, "title", type(self.plain).__name__))

    def fresh(self, source: torch.Generator) -> nn.Module:
        """A new module; its constructor's random draws are taken from `source`."""
        with drawing_from(source):
            module = self._build()
            if any(is_lazy(x) for x in (*module.parameters(), *module.buffers())):
                module.eval()(self._example)
        return module

    def with_constants(self, constants: Mapping[str, Tensor]) -> "ModuleFunction":
        """The same function with other constants; UserError where they are not this module's."""
        for name, value in constants.items():
            own = self.constants.get(name)
            if own is None or own.shape != value.shape:
                raise UserError(f"{name} {list(value.shape)} is no constant of {self.name}")
        found = copy(self)
        found.constants = self.constants | {
            name: value.to(self.constants[name]) for name, value in constants.items()
        }
        found._cast = {}
        return found

    # calling it

    def weights(self, cloud: Tensor) -> dict[str, Tensor]:
        """Parameters by name, views of θ [..., n]. One split: its backward pass is one cat."""
        pieces = cloud.split(self.sizes, -1)
        lead = cloud.shape[:-1]
        return {
            name: piece.view(lead + shape)
            for (name, shape), piece in zip(self.shapes.items(), pieces, strict=True)
        }

    def on_batch(self, weights: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        """Outputs, batch norms using the statistics of these inputs."""
        return self._call(self.module, weights, inputs)

    def with_statistics(
        self, weights: Mapping[str, Tensor], statistics: Mapping[str, Tensor], inputs: Tensor
    ) -> Tensor:
        """Outputs of the author's own module in evaluation mode, batch norms using `statistics`."""
        return self._call(self.plain, {**weights, **statistics}, inputs)

    def _call(self, module: nn.Module, values: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        for part, name, before in self._left.get(module, ()):
            if before is _ABSENT:
                part.__dict__.pop(name, None)
            else:
                part.__dict__[name] = before
        named = dict(values)
        if self.constants:
            named |= self.constants_in(next(iter(values.values())).dtype)
        return logits_of(functional_call(module, named, (inputs,)))

    def _try(self, module: nn.Module, weights: Mapping[str, Tensor]) -> None:
        """One pass over the example, to see what it leaves behind."""
        with torch.no_grad(), as_written(torch.float32):
            self._call(module, weights, self._example.float().to(self.device))

    def constants_in(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The constants, those that are floating numbers in the dtype of what is computed."""
        if dtype not in self._cast:
            self._cast[dtype] = {
                name: x.to(dtype) if x.is_floating_point() else x
                for name, x in self.constants.items()
            }
        return self._cast[dtype]

    # modules as others know them

    def vector(self, module: nn.Module) -> Tensor:
        """The point θ [n] at which a module of this architecture stands."""
        named = dict(module.named_parameters())
        parts = [named[name].detach().reshape(-1) for name in self.shapes]
        small = (torch.float16, torch.bfloat16)  # no dtype to descend in
        return torch.cat([x.float() if x.dtype in small else x for x in parts])

    def at(self, theta: Tensor, statistics: Mapping[str, Tensor]) -> nn.Module:
        """An ordinary module in evaluation mode with these weights and statistics."""
        module = self.fresh(stream(0, "module")).to(device=theta.device, dtype=theta.dtype)
        fill(module, {**self.weights(theta), **self.constants_in(theta.dtype)})
        return with_population_statistics(module, {}, dict(statistics))


def fill(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Copy values into the parameters and buffers of these names, persistent or not."""
    places: dict[str, Tensor] = dict(module.named_parameters(remove_duplicate=False))
    places |= dict(module.named_buffers(remove_duplicate=False))
    with torch.no_grad():
        for name, value in values.items():
            places[name].copy_(value)


def constants_of(module: nn.Module, trained: Mapping[str, Any]) -> dict[str, Tensor]:
    """Everything a module computes with besides trained parameters and batch norm's statistics."""
    frozen = {name: p.detach() for name, p in module.named_parameters() if name not in trained}
    statistics = statistics_names(module)
    buffers = {name: b for name, b in module.named_buffers() if name not in statistics}
    return {name: x.clone() for name, x in {**frozen, **buffers}.items()}


def keeping_statistics(module: nn.Module) -> nn.Module:
    """The module as its author wrote it, in evaluation mode; batch norms without statistics of
    their own (`track_running_stats=False`) get places for those they are scored with."""
    norms = {n: part for n, part in module.named_modules() if isinstance(part, _BatchNorm)}
    places = {
        f"{name}.{statistic}".lstrip("."): make(norm.num_features)
        for name, norm in norms.items()
        if norm.running_mean is None
        for statistic, make in (("running_mean", torch.zeros), ("running_var", torch.ones))
    }
    return with_population_statistics(module, {}, places)


def statistics_names(module: nn.Module) -> set[str]:
    """The names of the buffers that batch norms keep their statistics in."""
    norms = (n for n, part in module.named_modules() if isinstance(part, _BatchNorm))
    return {f"{norm}.{name}".lstrip(".") for norm in norms for name in STATISTICS}


def logits_of(outputs: Any) -> Tensor:
    """The logits among what a forward pass returned: itself, or its entry `logits`."""
    if isinstance(outputs, Tensor):
        return outputs
    named = outputs.get("logits") if isinstance(outputs, Mapping) else None
    found = named if named is not None else getattr(outputs, "logits", None)
    if found is None and isinstance(outputs, tuple | list):
        tensors = [x for x in outputs if isinstance(x, Tensor)]
        found = tensors[0] if len(tensors) == 1 else None
    if not isinstance(found, Tensor):
        raise UserError(
            f"model: forward returns {_told(outputs)}; return the logits [b, classes] alone, "
            f"or under the name logits"
        )
    return found


def _told(outputs: Any) -> str:
    if isinstance(outputs, Mapping):
        return (
            f"a {type(outputs).__name__} of {', '.join(map(str, list(outputs)[:4])) or 'nothing'}"
        )
    if isinstance(outputs, tuple | list):
        return f"a {type(outputs).__name__} of {', '.join(type(x).__name__ for x in outputs[:4])}"
    return f"a {type(outputs).__name__}"


@contextmanager
def drawing_from(source: torch.Generator) -> Iterator[None]:
    """In this block torch's, numpy's and Python's own generators go on from where `source` stands.

    Afterwards they are what they were, and `source` has moved on.
    """
    ours, theirs = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.set_state(source.get_state())
        seed = int(source.initial_seed()) % 2**32
        random.setstate(random.Random(seed).getstate())
        np.random.set_state(np.random.RandomState(seed).get_state())
        try:
            yield
        finally:
            source.set_state(torch.default_generator.get_state())
            random.setstate(ours)
            np.random.set_state(theirs)


@contextmanager
def as_written(dtype: torch.dtype) -> Iterator[None]:
    """In this block tensors that a module makes have the dtype it computes in, and attention has
    no second implementation for passes without a gradient: a score is what was descended."""
    default, fast = torch.get_default_dtype(), torch.backends.mha.get_fastpath_enabled()
    torch.set_default_dtype(dtype)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.set_default_dtype(default)
        torch.backends.mha.set_fastpath_enabled(fast)


def _matching(named: dict[str, nn.Parameter], pattern: str) -> dict[str, nn.Parameter]:
    try:
        found = {name: p for name, p in named.items() if re.search(pattern, name)}
    except re.error as fault:
        raise UserError(
            f"landscape.parameters={pattern}: no regular expression ({fault})"
        ) from None
    if not found:
        names = ", ".join(list(named)[:6])
        raise UserError(f"landscape.parameters={pattern} matches no parameter; there are {names} …")
    return found


def _refuse_kinds(named: dict[str, nn.Parameter], model: str) -> None:
    for name, p in named.items():
        if not p.is_floating_point():
            kind = str(p.dtype).removeprefix("torch.")
            raise UserError(
                f"model: parameter {name} of {model} is {kind}; θ is a vector of real numbers"
            )


def _left_behind(module: nn.Module, forward: Callable[[], None]) -> "list[_Attribute]":
    """What a forward pass changes of a module's plain attributes, with their values before it.

    A kept result would be that of other weights at the next point, so it is put back before every
    call. What a pass leaves inside lists or dictionaries is seen by the self-check.
    """
    parts = list(module.modules())
    before = [dict(part.__dict__) for part in parts]
    forward()
    return [
        _Attribute(part, name, old.get(name, _ABSENT))
        for part, old in zip(parts, before, strict=True)
        for name, value in part.__dict__.items()
        if value is not old.get(name, _ABSENT)
    ]
