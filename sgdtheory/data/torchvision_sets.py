"""Data sets that torchvision downloads and verifies: CIFAR-10 and -100, MNIST, Fashion-MNIST."""

import sys
from contextlib import redirect_stdout
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from sgdtheory.data.images import Augment, Images, Scaling
from sgdtheory.faults import Mistake
from sgdtheory.kinds import Count, Place, PlacePath

Download = Annotated[bool, Place]

# With data.download=true torchvision verifies and unpacks what already lies there before it asks any server.
CIFAR_ADVICE = "its home server may be throttled: {archive} from any mirror can be put there instead"
MNIST_ADVICE = "its four *-ubyte.gz files can be put into {folder} instead"


def cifar10(
    root: PlacePath = Path("data"),
    download: Download = True,
    augment: Augment = "none",
    padding: Count = 4,
    scaling: Scaling = "standard",
) -> Images:
    """60,000 images of 3×32×32 pixels in 10 classes, 50,000 for training (Krizhevsky 2009)."""
    advice = CIFAR_ADVICE.format(archive="cifar-10-python.tar.gz")
    return _loaded("CIFAR10", "cifar10", 10, root, download, advice, augment, padding, scaling)


def cifar100(
    root: PlacePath = Path("data"),
    download: Download = True,
    augment: Augment = "none",
    padding: Count = 4,
    scaling: Scaling = "standard",
) -> Images:
    """60,000 images of 3×32×32 pixels in 100 classes, 50,000 for training (Krizhevsky 2009)."""
    advice = CIFAR_ADVICE.format(archive="cifar-100-python.tar.gz")
    return _loaded("CIFAR100", "cifar100", 100, root, download, advice, augment, padding, scaling)


def mnist(
    root: PlacePath = Path("data"),
    download: Download = True,
    augment: Augment = "none",
    padding: Count = 4,
    scaling: Scaling = "standard",
) -> Images:
    """70,000 handwritten digits of 1×28×28 pixels in 10 classes, 60,000 for training (LeCun et al. 1998)."""
    advice = MNIST_ADVICE.format(folder=root / "MNIST" / "raw")
    return _loaded("MNIST", "mnist", 10, root, download, advice, augment, padding, scaling)


def fashion_mnist(
    root: PlacePath = Path("data"),
    download: Download = True,
    augment: Augment = "none",
    padding: Count = 4,
    scaling: Scaling = "standard",
) -> Images:
    """70,000 clothes of 1×28×28 pixels in 10 classes, 60,000 for training (Xiao et al. 2017, 1708.07747)."""
    advice = MNIST_ADVICE.format(folder=root / "FashionMNIST" / "raw")
    return _loaded("FashionMNIST", "fashion_mnist", 10, root, download, advice, augment, padding, scaling)


def _loaded(
    kind: str,
    name: str,
    classes: int,
    root: Path,
    download: bool,
    advice: str,
    augment: Augment,
    padding: int,
    scaling: Scaling,
) -> Images:
    from torchvision import datasets  # here, because importing it costs two seconds

    try:
        with redirect_stdout(sys.stderr):  # torchvision prints its progress; results alone belong on stdout
            splits = [getattr(datasets, kind)(str(root), train=train, download=download) for train in (True, False)]
    except (RuntimeError, OSError, EOFError, HTTPException) as fault:
        where = root.absolute()
        if download:
            why = next(iter(str(fault).splitlines()), type(fault).__name__)
            what = f"data={name}: could not be downloaded to {where} ({why})"
        else:
            what = f"data={name}: not found whole in {where}; data.download=true fetches it"
        raise Mistake(f"{what}\n{advice}, or use data=images data.path=pack.npz") from fault
    train, test = ((_channels_first(split.data), np.asarray(split.targets)) for split in splits)
    return Images.from_arrays(train, test, classes, name, augment, padding, scaling)


def _channels_first(pixels: Any) -> np.ndarray:
    """[N, H, W, C] of CIFAR, or [N, H, W] of MNIST, as [N, C, H, W]."""
    images = np.asarray(pixels)
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
