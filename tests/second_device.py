"""A second device for machines that have only a CPU.

Tensors say `device=meta`, hold their numbers on the CPU, and refuse to meet a tensor of the CPU, as
a GPU's do: every place where code forgets `.to(device)` raises `Mixed`. Results are the CPU's to
the bit. `WAITS` counts what would make a GPU wait.

    with OnSecondDevice():
        network = Network(model, digits(), device=DEVICE)

Most of it is a dispatch mode. By hand is done what C++ does where no mode sees it: tensors made of
lists, lists as indices, and methods that subclasses do not have.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

from sgdtheory.landscapes import chain_of_module

DEVICE = "meta"
WAITS: list[str] = []  # operations that cannot end before the device has, in order
# they ask the device for a number, or for the size of what they give
WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "aten.equal.")
TOGETHER = ("aten.cat.", "aten.stack.")  # take no number of the CPU among theirs either


class Mixed(RuntimeError):
    """A tensor of the CPU met one of the device."""


class Second(Tensor):
    """A tensor that claims to be elsewhere; `inner` has its numbers."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "Second":
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset()}
        size, dtype = inner.size(), inner.dtype
        made = torch.Tensor._make_wrapper_subclass(cls, size, device=DEVICE, dtype=dtype, **layout)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})

    def __getitem__(self, index: Any) -> Any:
        return Tensor.__getitem__(self, on_device(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        if is_on_cpu(value) and value.ndim:
            raise Mixed("a part is set to a tensor of the CPU")
        Tensor.__setitem__(self, on_device(index), value)

    def tolist(self) -> Any:
        WAITS.append("tolist")
        return self.inner.tolist()

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError("can't convert a device tensor to numpy; use .cpu() first")

    def new_tensor(self, data: Any, *, dtype: Any = None, device: Any = DEVICE, **_: Any) -> Any:
        return self.inner.new_tensor(data, dtype=dtype).to(device)


class OnSecondDevice(TorchDispatchMode):
    """While it lasts, DEVICE is a device with numbers."""

    def __enter__(self) -> "OnSecondDevice":
        self.makers = {name: getattr(torch, name) for name in ("tensor", "as_tensor")}
        for name in self.makers:
            setattr(torch, name, self._placing(name))
        # elsewhere a module's parameters have the type that they had here
        self.plain = chain_of_module.PLAIN
        chain_of_module.PLAIN = self.plain | {Second}
        WAITS.clear()
        return super().__enter__()

    def __exit__(self, *exc: Any) -> Any:
        for name, maker in self.makers.items():
            setattr(torch, name, maker)
        chain_of_module.PLAIN = self.plain
        return super().__exit__(*exc)

    def _placing(self, name: str) -> Any:
        def placed(data: Any, *, dtype: Any = None, device: Any = None, **rest: Any) -> Any:
            if isinstance(data, Tensor):
                return data.to(device=device or data.device, dtype=dtype or data.dtype)
            made = self.makers[name](data, dtype=dtype, **rest)
            return made if device is None else made.to(device)

        return placed

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def back(thing: Any) -> Any:
    """The same with the device's tensors on the CPU; without a wait, since it is for looking."""
    return tree_map(lambda x: x.inner if isinstance(x, Second) else x, thing)


def is_on_cpu(thing: Any) -> bool:
    return isinstance(thing, Tensor) and not isinstance(thing, Second)


def on_device(index: Any) -> Any:
    """An index as a GPU takes it: what lies on the CPU is copied over."""
    if isinstance(index, list):
        return Second(torch.arange(0).new_tensor(index))
    if isinstance(index, tuple):
        return tuple(map(on_device, index))
    return Second(index) if is_on_cpu(index) else index


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """An operation on the numbers inside, its result where a GPU would have it."""
    name = str(func)
    flat, _ = tree_flatten((args, kwargs))
    is_there = any(isinstance(x, Second) for x in flat)
    asked = kwargs.get("device")
    target = None if asked is None else torch.device(asked).type
    goes_there = target == DEVICE or (target is None and is_there)
    if is_there:
        refuse_mixed(name, flat)
        count_waits(name, args, target)
    if goes_there and any(isinstance(x, torch.Generator) for x in flat):
        raise Mixed(f"{name}: a generator of the CPU draws on the device")
    plain_args, plain_kwargs = back((args, kwargs))
    if target is not None:
        plain_kwargs = {**plain_kwargs, "device": torch.device("cpu")}
    found = func(*plain_args, **plain_kwargs)
    if "aten.copy_." in name:
        return args[0]
    if not goes_there:
        return found
    wrapped = tree_map(lambda x: Second(x) if is_on_cpu(x) else x, found)
    return return_and_correct_aliasing(func, args, kwargs, wrapped)


def refuse_mixed(name: str, flat: list[Any]) -> None:
    """Mixed where tensors of the CPU are beside those of the device; single numbers may be."""
    if "copy" in name:
        return
    here = [x for x in flat if is_on_cpu(x)]
    if not name.startswith(TOGETHER):
        here = [x for x in here if x.ndim]
    if here:
        shapes = [tuple(x.shape) for x in here]
        raise Mixed(f"{name}: {shapes} on the CPU meets the device")


def count_waits(name: str, args: Any, target: str | None) -> None:
    brings_back = target == "cpu" or ("aten.copy_." in name and is_on_cpu(args[0]))
    is_masked = name.startswith("aten.index") and any(
        isinstance(x, Tensor) and x.dtype == torch.bool for x in tree_flatten(args[1])[0]
    )
    if brings_back or is_masked or any(word in name for word in WAITING):
        WAITS.append(name)
