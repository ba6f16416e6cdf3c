"""Data sets that torchvision downloads and verifies: CIFAR-10 and -100, MNIST, Fashion-MNIST."""

import hashlib
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from sgdtheory.annotations import Place, PlacePath, PositiveInt
from sgdtheory.data.images import Augment, Images, Mean, Scaling, Spread
from sgdtheory.data.prompt import prompt_requests
from sgdtheory.errors import UserError

Download = Annotated[bool, Place]

Name: TypeAlias = Literal["cifar10", "cifar100", "mnist", "fashion_mnist"]


class Known(NamedTuple):
    """What torchvision calls a data set, and what can be done where its server does not answer."""

    kind: str
    classes: int
    # torchvision verifies and unpacks what already lies there before it asks any server
    advice: str


MIRROR = "its home server may be throttled: {} from any mirror can be put there instead"
FOUR = "its four *-ubyte.gz files can be put into {} instead"
VERIFIED = ("cifar10", "cifar100")
SETS: dict[Name, Known] = {
    "cifar10": Known("CIFAR10", 10, MIRROR.format("cifar-10-python.tar.gz")),
    "cifar100": Known("CIFAR100", 100, MIRROR.format("cifar-100-python.tar.gz")),
    "mnist": Known("MNIST", 10, FOUR.format("MNIST/raw there")),
    "fashion_mnist": Known("FashionMNIST", 10, FOUR.format("FashionMNIST/raw there")),
}


def torchvision_set(
    name: Name,
    root: PlacePath = Path("data"),
    download: Download = True,
    limit: PositiveInt | None = None,
    augment: Augment = "none",
    padding: PositiveInt = 4,
    scaling: Scaling = "standard",
    mean: Mean = None,
    std: Spread = None,
) -> Images:
    """CIFAR-10 and -100, 50,000 + 10,000 images of 3×32×32 (Krizhevsky 2009); MNIST (LeCun et al.
    1998) and Fashion-MNIST (Xiao et al. 2017, 1708.07747), 60,000 + 10,000 of 1×28×28; `limit`
    of each split are drawn evenly over the classes (None: all). Raises UserError where they are
    neither found nor fetched."""
    from torchvision import datasets  # here, because importing it costs two seconds

    known = SETS[name]
    try:
        # torchvision prints its progress; results alone belong on stdout
        with redirect_stdout(sys.stderr), prompt_requests():
            read = partial(getattr(datasets, known.kind), str(root), download=download)
            train_set = read(train=True)
            test_set = read(train=False)
    except (RuntimeError, OSError, EOFError, HTTPException) as fault:
        where = root.absolute()
        if download:
            what = f"data={name}: could not be downloaded to {where} ({_why(fault)})"
        else:
            what = (
                f"data={name}: not found whole in {where}; data.download=true fetches it, "
                f"--dry-run does not"
            )
        raise UserError(f"{what}\n{known.advice}, or use data=images data.path=pack.npz") from fault
    train = (_channels_first(train_set.data), np.asarray(train_set.targets))
    test = (_channels_first(test_set.data), np.asarray(test_set.targets))
    found = Images.from_arrays(
        train, test, known.classes, name, augment, padding, scaling, limit, mean=mean, std=std
    )
    # Files of CIFAR are verified by torchvision wherever they are read, those of MNIST only when
    # they are unpacked.
    if name in VERIFIED:
        return found
    return replace(found, content_sha256=_digest(*train, *test))


def _why(fault: Exception) -> str:
    """The first and the last line of what a download says of its end."""
    reason = str(getattr(fault, "reason", fault))
    lines = reason.splitlines() or [type(fault).__name__]
    ends = dict.fromkeys((lines[0], lines[-1]))
    return " ".join(ends)


def _digest(*arrays: np.ndarray) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _channels_first(pixels: ArrayLike) -> np.ndarray:
    """[N, H, W, C] of CIFAR, or [N, H, W] of MNIST, as [N, C, H, W]."""
    images = np.asarray(pixels)
    if images.ndim == 3:
        return images[:, None]
    return images.transpose(0, 3, 1, 2)
