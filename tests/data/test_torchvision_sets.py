"""torchvision's data sets, read from files in their real formats; nothing is downloaded."""

import gzip
import pickle
import struct
from hashlib import md5
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from sgdtheory.data.torchvision_sets import SETS, Name, torchvision_set
from sgdtheory.faults import Mistake

NOWHERE = "http://127.0.0.1:9/"


def write_idx(path: Path, array: np.ndarray) -> None:
    """The format of MNIST: magic number 0 0 8 ndim, the sizes, the bytes."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.tobytes())


@pytest.mark.parametrize(("name", "kind"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_mnist(tmp_path: Path, name: Name, kind: str) -> None:
    raw = tmp_path / kind / "raw"
    raw.mkdir(parents=True)
    pixels = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (15, 28, 28), dtype=np.uint8)
    for split, rows in (("train", slice(0, 10)), ("t10k", slice(10, 15))):
        write_idx(raw / f"{split}-images-idx3-ubyte", pixels[rows])
        write_idx(raw / f"{split}-labels-idx1-ubyte", np.arange(15, dtype=np.uint8)[rows] % 10)
    found = torchvision_set(name, tmp_path, download=False, augment="crop_flip")
    assert (found.shape, found.count, found.classes, found.augment) == ((1, 28, 28), 10, 10, "crop_flip")
    assert np.array_equal(found.test_images[:, 0].numpy(), pixels[10:])
    assert found.test_labels.tolist() == [0, 1, 2, 3, 4]


def test_files_from_a_mirror_are_verified_and_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    resources = []
    for name, array in (
        ("train-images-idx3-ubyte", np.zeros((3, 28, 28), np.uint8)),
        ("train-labels-idx1-ubyte", np.array([0, 1, 2], np.uint8)),
        ("t10k-images-idx3-ubyte", np.zeros((2, 28, 28), np.uint8)),
        ("t10k-labels-idx1-ubyte", np.array([3, 4], np.uint8)),
    ):
        write_idx(raw / name, array)
        (raw / f"{name}.gz").write_bytes(content := gzip.compress((raw / name).read_bytes()))
        (raw / name).unlink()
        resources.append((f"{name}.gz", md5(content).hexdigest()))
    monkeypatch.setattr(datasets.MNIST, "mirrors", [NOWHERE])
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    found = torchvision_set("mnist", tmp_path)
    assert (found.train_labels.tolist(), found.test_labels.tolist()) == ([0, 1, 2], [3, 4])


def write_cifar(folder: Path, file: str, pixels: np.ndarray, labels: list[int], key: str) -> tuple[str, str]:
    """The format of CIFAR: a pickle of rows [N, 3·32·32] and labels."""
    folder.mkdir(exist_ok=True)
    content = pickle.dumps({"data": pixels.reshape(len(pixels), -1), key: labels})
    (folder / file).write_bytes(content)
    return file, md5(content).hexdigest()


def test_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    pixels = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)
    train = [write_cifar(folder, f"data_batch_{i}", pixels[i : i + 1], [i], "labels") for i in range(5)]
    test = [write_cifar(folder, "test_batch", pixels[5:], [9], "labels")]
    (folder / "batches.meta").write_bytes(meta := pickle.dumps({"label_names": list("abcdefghij")}))
    monkeypatch.setattr(datasets.CIFAR10, "train_list", train)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", test)
    monkeypatch.setattr(
        datasets.CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": md5(meta).hexdigest()}
    )
    found = torchvision_set("cifar10", tmp_path, download=False)
    assert (found.shape, found.count, found.classes, found.name) == ((3, 32, 32), 5, 10, "cifar10")
    assert np.array_equal(found.train_images.numpy(), pixels[:5])
    assert (found.train_labels.tolist(), found.test_labels.tolist()) == ([0, 1, 2, 3, 4], [9])


@pytest.mark.parametrize("name", list(SETS))
def test_missing_files_are_told_with_what_to_do(tmp_path: Path, name: Name) -> None:
    with pytest.raises(Mistake) as caught:
        torchvision_set(name, tmp_path, download=False)
    message = str(caught.value)
    assert f"data={name}: not found whole in {tmp_path}" in message
    assert "data.download=true" in message
    assert "data=images data.path=pack.npz" in message
    assert message.count("\n") < 3


@pytest.mark.parametrize("name", list(SETS))
def test_a_server_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: Name
) -> None:
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{NOWHERE}cifar-10-python.tar.gz")
    monkeypatch.setattr(datasets.CIFAR100, "url", f"{NOWHERE}cifar-100-python.tar.gz")
    for kind in (datasets.MNIST, datasets.FashionMNIST):
        monkeypatch.setattr(kind, "mirrors", [NOWHERE])
    with pytest.raises(Mistake, match="could not be downloaded to") as caught:
        torchvision_set(name, tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "data=images data.path=pack.npz" in str(caught.value)
    assert str(caught.value).count("\n") < 3
    assert capsys.readouterr().out == ""
