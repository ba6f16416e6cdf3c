"""torchvision's data sets, read from files in their real formats; nothing is downloaded."""

import gzip
import pickle
import struct
import threading
import time
import urllib.request
from functools import partial
from hashlib import md5
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from torchvision import datasets

from sgdtheory.data.prompt import prompt_requests
from sgdtheory.data.torchvision_sets import SETS, Name, torchvision_set
from sgdtheory.errors import UserError

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
    assert (found.shape, found.count, found.classes, found.augment) == (
        (1, 28, 28),
        10,
        10,
        "crop_flip",
    )
    assert np.array_equal(found.test_inputs[:, 0].numpy(), pixels[10:])
    assert found.test_targets.tolist() == [0, 1, 2, 3, 4]


def test_files_from_a_mirror_are_verified_and_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    assert (found.train_targets.tolist(), found.test_targets.tolist()) == ([0, 1, 2], [3, 4])


def write_cifar(
    folder: Path, file: str, pixels: np.ndarray, labels: list[int], key: str
) -> tuple[str, str]:
    """The format of CIFAR: a pickle of rows [N, 3·32·32] and labels."""
    folder.mkdir(exist_ok=True)
    content = pickle.dumps({"data": pixels.reshape(len(pixels), -1), key: labels})
    (folder / file).write_bytes(content)
    return file, md5(content).hexdigest()


def test_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    pixels = np.random.Generator(np.random.PCG64(0)).integers(
        0, 256, (6, 3, 32, 32), dtype=np.uint8
    )
    train = [
        write_cifar(folder, f"data_batch_{i}", pixels[i : i + 1], [i], "labels") for i in range(5)
    ]
    test = [write_cifar(folder, "test_batch", pixels[5:], [9], "labels")]
    (folder / "batches.meta").write_bytes(meta := pickle.dumps({"label_names": list("abcdefghij")}))
    monkeypatch.setattr(datasets.CIFAR10, "train_list", train)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", test)
    monkeypatch.setattr(
        datasets.CIFAR10,
        "meta",
        {"filename": "batches.meta", "key": "label_names", "md5": md5(meta).hexdigest()},
    )
    found = torchvision_set("cifar10", tmp_path, download=False)
    assert (found.shape, found.count, found.classes, found.name) == ((3, 32, 32), 5, 10, "cifar10")
    assert np.array_equal(found.train_inputs.numpy(), pixels[:5])
    assert (found.train_targets.tolist(), found.test_targets.tolist()) == ([0, 1, 2, 3, 4], [9])


@pytest.mark.parametrize("name", list(SETS))
def test_missing_files_are_told_with_what_to_do(tmp_path: Path, name: Name) -> None:
    with pytest.raises(UserError) as caught:
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
    with pytest.raises(UserError, match="could not be downloaded to") as caught:
        torchvision_set(name, tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "data=images data.path=pack.npz" in str(caught.value)
    assert str(caught.value).count("\n") < 3
    assert capsys.readouterr().out == ""


def silent(*given: object) -> None:
    """As where a name server does not answer."""
    time.sleep(12)
    raise OSError


def test_a_server_that_says_nothing_is_given_up_in_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sgdtheory.data.prompt.ANSWER", 0.3)
    monkeypatch.setattr("socket.create_connection", silent)
    began = time.monotonic()
    with pytest.raises(UserError, match="its server cannot be reached"):
        torchvision_set("cifar10", tmp_path)
    assert time.monotonic() - began < 10  # two addresses, and torchvision's import


def test_what_is_asked_is_the_proxy_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(
        "sgdtheory.data.prompt._answers", lambda host, port: asked.append((host, port))
    )
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    before = urllib.request._opener
    with prompt_requests(), pytest.raises(URLError):
        urllib.request.urlopen("https://data.example/file")
    assert asked == [("proxy.example:3128", 443)]
    assert urllib.request._opener is before
    monkeypatch.delenv("https_proxy")
    with prompt_requests(), pytest.raises(URLError):
        urllib.request.urlopen("http://data.example/file")
    assert asked[1] == ("data.example", 80)


def test_a_server_that_answers_is_read_from(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with prompt_requests():
            assert (
                urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/file").read()
                == b"content"
            )
        server.shutdown()
