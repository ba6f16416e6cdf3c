"""Checkpoints of every make, by the command line: opened, recognised as the same points, and said;
or refused in a line."""

import json
import os
import shlex
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sgdtheory.commandline.words import quoted
from sgdtheory.pipelines.checkpoints.files import places
from sgdtheory.rng import stream
from tests.conftest import Said, call
from tests.small_cnn import NET, WORDS

THETA = NET.init(1, stream(0, "init"))[0]
State = dict[str, Tensor]


STATES = {
    seed: {
        name: x.clone().contiguous()
        for name, x in NET.model_at(NET.init(1, stream(seed, "init"))[0]).state_dict().items()
    }
    for seed in (0, 1)
}


def state(seed: int = 0) -> State:
    """A state dict of the model: weights, and statistics of batch norm that are not those of these
    data."""
    return {
        name: x + 0.5 if name.endswith("running_mean") else x.clone()
        for name, x in STATES[seed].items()
    }


def prefixed(prefix: str, tensors: State) -> State:
    return {prefix + name: x for name, x in tensors.items()}


def other() -> State:
    """An average of other weights, as some files hold beside the weights."""
    return state(1)


def sharded(folder: Path, suffix: str, save: Callable[[State, Path], Any]) -> Path:
    """A model in two files and their index."""
    folder.mkdir()
    whole = state()
    names = sorted(whole)
    parts = {f"model-0000{i + 1}-of-00002{suffix}": names[i::2] for i in range(2)}
    for file, part in parts.items():
        save({name: whole[name] for name in part}, folder / file)
    stem = "model.safetensors" if suffix == ".safetensors" else "pytorch_model.bin"
    index = {
        "metadata": {},
        "weight_map": {name: file for file, part in parts.items() for name in part},
    }
    (folder / f"{stem}.index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder / f"{stem}.index.json"


def saved(thing: Any, path: Path, **how: Any) -> str:
    path.parent.mkdir(exist_ok=True)
    torch.save(thing, path, **how)
    return str(path)


FORMS: dict[
    str, tuple[Callable[[Path], str], str]
] = {  # name → (write it: the words after `sgdtheory diagnose`, what is said)
    "pth": (lambda f: saved(state(), f / "a.pth"), "a.pth: weights"),
    "legacy": (
        lambda f: saved(state(), f / "a.th", _use_new_zipfile_serialization=False),
        "a.th: weights",
    ),
    "parameters alone": (
        lambda f: saved(
            {n: x for n, x in state().items() if "running" not in n and "tracked" not in n},
            f / "a.pt",
        ),
        "a.pt: weights",
    ),
    "net": (
        lambda f: saved({"net": state(), "acc": 91.5, "epoch": 3}, f / "ckpt.pth"),
        "weights of 'net'",
    ),
    "model_state_dict": (
        lambda f: saved({"epoch": 1, "model_state_dict": state()}, f / "a.pt"),
        "weights of 'model_state_dict'",
    ),
    "model": (
        lambda f: saved(
            {"model": state(), "optimizer": {"state": {0: {"step": torch.ones(1)}}}}, f / "a.bin"
        ),
        "of 'model'",
    ),
    "deep": (
        lambda f: saved({"checkpoint": {"weights_of_it": state()}}, f / "a.pt"),
        "weights of 'checkpoint.weights_of_it'",
    ),
    "ddp": (lambda f: saved(prefixed("module.", state()), f / "a.pt"), "prefix 'module.' dropped"),
    "compiled ddp": (
        lambda f: saved(prefixed("_orig_mod.module.", state()), f / "a.pt"),
        "prefix '_orig_mod.module.' dropped",
    ),
    "lightning": (
        lambda f: saved(
            {"state_dict": prefixed("model.", state()), "pytorch-lightning_version": "2.4"},
            f / "epoch=3-step=10.ckpt",
        ),
        "weights of 'state_dict', prefix 'model.' dropped",
    ),
    "lightning with more": (
        lambda f: saved(
            {"state_dict": {**prefixed("model.", state()), "criterion.weight": torch.ones(10)}},
            f / "a.ckpt",
        ),
        "prefix 'model.' dropped, criterion.weight left out",
    ),
    "ema beside": (
        lambda f: saved({"state_dict": state(), "state_dict_ema": other()}, f / "a.pt"),
        "weights of 'state_dict' (checkpoint.key=state_dict_ema takes another)",
    ),
    "ema equal": (
        lambda f: saved({"state_dict": state(), "state_dict_ema": state()}, f / "a.pt"),
        "weights of 'state_dict'",
    ),
    "key": (
        lambda f: (
            saved({"state_dict": other(), "ema": state()}, f / "a.pt") + " checkpoint.key=ema"
        ),
        "weights of 'ema'",
    ),
    "prefix": (
        lambda f: (
            saved({**prefixed("student.", other()), **prefixed("teacher.", state())}, f / "a.pt")
            + " checkpoint.prefix=teacher."
        ),
        "prefix 'teacher.' dropped",
    ),
    "compiled part": (
        lambda f: saved(
            {n.replace("0.", "0._orig_mod.", 1): x for n, x in state().items()}, f / "a.pt"
        ),
        "a.pt: weights",
    ),
    "safetensors": (
        lambda f: (save_file(state(), f / "a.safetensors"), str(f / "a.safetensors"))[1],
        "a.safetensors: weights",
    ),
    "shards": (
        lambda f: str(sharded(f / "m", ".safetensors", save_file)),
        "model.safetensors.index.json: weights",
    ),
    "folder of shards": (
        lambda f: str(sharded(f / "m", ".bin", torch.save).parent),
        "pytorch_model.bin.index.json: weights",
    ),
    "folder": (
        lambda f: str(Path(saved(state(), f / "m" / "last.ckpt")).parent),
        "last.ckpt: weights",
    ),
    "glob": (lambda f: saved(state(), f / "one.pt").replace("one", "o*"), "one.pt: weights"),
    "list with =": (lambda f: f"[{saved(state(), f / 'a=1.pt')}]", "a=1.pt: weights"),
    "quoted": (lambda f: f"'minima=\"{saved(state(), f / 'a=1, b.pt')}\"'", "a=1, b.pt: weights"),
    "vector": (lambda f: saved(THETA, f / "a.pt"), "a.pt: a point"),
    "cloud of one": (lambda f: saved({"minima": THETA}, f / "a.pt"), "a.pt: a point"),
    "strict": (
        lambda f: (
            saved({**state(), "aux.weight": torch.ones(3)}, f / "a.pt") + " checkpoint.strict=false"
        ),
        "aux.weight left out",
    ),
    "numpy beside": (
        lambda f: saved({"net": state(), "best": torch.ones(2).numpy()[0]}, f / "a.pt"),
        "weights of 'net'",
    ),
    "float64": (
        lambda f: saved({n: x.double() for n, x in state().items()}, f / "a.pt"),
        "float64 made float32",
    ),
}


def words(line: str) -> list[str]:
    found = shlex.split(line)
    return [found[0] if found[0].startswith("minima=") else f"minima={found[0]}", *found[1:]]


def diagnose(line: str, root: Path, *more: str) -> Said:
    return call("diagnose", *WORDS, *words(line), f"run.root={root}", *more)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the same point was diagnosed before, with statistics of batch norm of its own and
    without."""
    folder = tmp_path_factory.mktemp("before")
    bare = {
        name: x for name, x in state().items() if "running" not in name and "tracked" not in name
    }
    for tensors in (state(), bare):
        assert diagnose(saved(tensors, folder / f"{len(tensors)}.pt"), folder / "runs").code == 0
    return folder / "runs"


@pytest.mark.parametrize("form", FORMS)
def test_a_checkpoint_is_opened_and_is_the_same_run(form: str, root: Path, tmp_path: Path) -> None:
    write, said = FORMS[form]
    told = diagnose(write(tmp_path), root)
    assert told.code == 0, told
    assert said in told.err and "already done" in told.err and len(told.err.splitlines()) == 2, (
        told.err
    )
    assert len(list((root / "diagnose").iterdir())) == len(list((root / "units").iterdir())) == 2


def test_what_was_taken_is_kept(root: Path, tmp_path: Path) -> None:
    half = {name: x.bfloat16() if x.is_floating_point() else x for name, x in state().items()}
    file = saved({"state_dict": prefixed("model.", half)}, tmp_path / "epoch=3-step=10.ckpt")
    said = f"{file}: weights of 'state_dict', prefix 'model.' dropped, bfloat16 made float32"
    told = diagnose(file, tmp_path / "runs")
    assert told.code == 0 and said in told.err.splitlines()
    (path,) = (tmp_path / "runs" / "diagnose").iterdir()
    assert (
        json.loads((path / "results.json").read_text(encoding="utf-8"))["minima"][0]["source"]
        == said
    )
    assert said in (path / "log.txt").read_text(encoding="utf-8")
    weights = load_file(path / "minima.safetensors")["minima"][0]
    assert torch.equal(weights, THETA.bfloat16().float())


def test_many_files_are_many_points_in_their_order(tmp_path: Path) -> None:
    for seed, name in enumerate("ba"):
        saved({"net": prefixed("module.", state(seed))}, tmp_path / f"{name}.pt")
    told = diagnose(f"{tmp_path}/*.pt", tmp_path / "runs")
    assert (
        told.code == 0
        and f"{tmp_path}/a.pt, {tmp_path}/b.pt: weights of 'net', prefix 'module.' dropped"
        in told.err
    )
    (path,) = (tmp_path / "runs" / "diagnose").iterdir()
    assert torch.equal(load_file(path / "minima.safetensors")["minima"][1], THETA)


def test_a_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    saved(state(), tmp_path / "a.pt")
    assert diagnose("~/a.pt", tmp_path / "runs", "--dry-run").code == 0


@pytest.mark.parametrize(
    ("word", "read"),
    [
        ("minima=epoch=3-step=10.ckpt", "minima='epoch=3-step=10.ckpt'"),
        ("minima=[epoch=3.ckpt, b.pt]", "minima=['epoch=3.ckpt','b.pt']"),
        ("minima=~/ä (1).pt", "minima='~/ä (1).pt'"),
        ("minima=runs/*/last.ckpt", "minima=runs/*/last.ckpt"),
        ("minima='a=1.pt'", "minima='a=1.pt'"),
        ("minima=a.pt,b.pt", "minima=a.pt,b.pt"),  # a sweep
        ("minima=null", "minima=null"),
        ("seed=a=b", "seed=a=b"),
    ],
)
def test_names_of_files_need_no_quotes(word: str, read: str) -> None:
    assert quoted(word) == read


class Code:
    """What a hostile pickle does when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.path,)


def written(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def cut(path: str, count: int = 300) -> str:
    return written(Path(path), Path(path).read_bytes()[:-count])


def petabytes(path: Path) -> str:
    """A header that claims what no disk holds."""
    header = json.dumps(
        {"head.weight": {"dtype": "F32", "shape": [1 << 48], "data_offsets": [0, 1 << 50]}}
    ).encode()
    return written(path, len(header).to_bytes(8, "little") + header)


def grown(path: Path) -> str:
    """An archive that is a thousand times smaller than what it holds."""
    saved(state(), path)
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**held, "a/data/99": bytes(10_000_000)}.items():
            archive.writestr(name, content)
    return str(path)


def index_of(path: Path, weight_map: Any) -> str:
    return written(path, json.dumps({"weight_map": weight_map}).encode())


def pipe(path: Path) -> str:
    os.mkfifo(path)
    return str(path)


def two(folder: Path) -> str:
    saved(state(), folder / "a.pt")
    return str(Path(saved(state(), folder / "b.pt")).parent)


def as_kind(change: Callable[[Tensor], Tensor]) -> Callable[[Path], str]:
    """The first weight of the model as another kind of tensor."""
    first = next(iter(NET.module.state_dict()))
    return lambda folder: saved({**state(), first: change(state()[first])}, folder / "a.pt")


def quantised(x: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(x, 0.1, 0, torch.qint8)


def without(count: int) -> State:
    return dict(list(state().items())[count:])


WRONG: dict[str, tuple[Callable[[Path], str], str]] = {  # name → (write it, what is said)
    "nowhere": (lambda f: str(f / "nowhere.pt"), "no such run or file"),
    "empty": (lambda f: written(f / "a.pt", b""), "is empty"),
    "text": (lambda f: written(f / "a.pt", b"hello world\n" * 9), "is damaged"),
    "text, safetensors": (
        lambda f: written(f / "a.safetensors", b"hello world\n" * 9),
        "damaged or cut short",
    ),
    "an empty folder": (
        lambda f: str((f / "m").mkdir() or f / "m"),
        "holds no run and no checkpoint",
    ),
    "cut": (lambda f: cut(saved(state(), f / "a.pt")), "damaged or cut short"),
    "cut, legacy": (
        lambda f: cut(saved(state(), f / "a.pt", _use_new_zipfile_serialization=False)),
        "is damaged",
    ),
    "cut, safetensors": (
        lambda f: cut((save_file(state(), f / "a.safetensors"), str(f / "a.safetensors"))[1]),
        "damaged or cut short",
    ),
    "petabytes": (lambda f: petabytes(f / "a.safetensors"), "damaged or cut short"),
    "grown": (lambda f: grown(f / "a.pt"), "it would grow from"),
    "code": (
        lambda f: saved({"state_dict": state(), "x": Code(f / "ran")}, f / "a.pt"),
        "no code of a file is ever run",
    ),
    "code, legacy": (
        lambda f: saved({"x": Code(f / "ran")}, f / "a.pt", _use_new_zipfile_serialization=False),
        "holds more than tensors",
    ),
    "a module": (lambda f: saved(nn.Linear(2, 2), f / "a.pt"), "torch.save(model.state_dict(), …)"),
    "a list": (lambda f: saved([1, 2, 3], f / "a.pt"), "holds no state dict"),
    "numbers": (lambda f: saved({"epoch": 3}, f / "a.pt"), "holds no state dict"),
    "not a number": (as_kind(lambda x: x * float("nan")), "not finite, in "),
    "integers": (as_kind(lambda x: x.to(torch.int8)), "is int8; weights must be"),
    "quantised": (as_kind(quantised), "is qint8; weights must be"),
    "float8": (as_kind(lambda x: x.to(torch.float8_e4m3fn)), "is float8_e4m3fn; weights must be"),
    "complex": (as_kind(lambda x: x.to(torch.complex64)), "is complex64; weights must be"),
    "sparse": (as_kind(lambda x: x.to_sparse()), "is sparse; weights must be"),
    "meta": (as_kind(lambda x: x.to("meta")), "without numbers (meta)"),
    "deeper": (
        lambda f: saved(
            {**state(), **{f"layer9.{i}.weight": torch.ones(2) for i in range(5)}}, f / "a.pt"
        ),
        "it also holds layer9.0.weight, layer9.1.weight, layer9.2.weight and 2 more",
    ),
    "missing": (lambda f: saved({"net": without(2)}, f / "a.pt"), " is missing"),
    "wrong shapes": (
        lambda f: saved({n: x[..., :1] for n, x in state().items() if x.ndim}, f / "a.pt"),
        ", and 7 more",
    ),
    "another model": (
        lambda f: saved({"x.weight": torch.ones(2)}, f / "a.pt"),
        "it holds x.weight, the model has",
    ),
    "two in a folder": (lambda f: two(f / "m"), "holds 2 checkpoints (a.pt, b.pt)"),
    "two in a file": (
        lambda f: saved({"one": state(), "two": other()}, f / "a.pt"),
        "say checkpoint.key=one or checkpoint.key=two",
    ),
    "two prefixes": (
        lambda f: saved({**prefixed("one.", state()), **prefixed("two.", other())}, f / "a.pt"),
        "say checkpoint.prefix=one. or checkpoint.prefix=two.",
    ),
    "no such key": (
        lambda f: saved({"net": state()}, f / "a.pt") + " checkpoint.key=nett",
        "did you mean 'net'",
    ),
    "names that would move the cursor": (
        lambda f: saved({**state(), "\x1b[2Jaux": torch.ones(2)}, f / "a.pt"),
        "it also holds �[2Jaux; is it a larger model?",
    ),
    "no such prefix": (
        lambda f: saved(state(), f / "a.pt") + " checkpoint.prefix=model.",
        "is missing",
    ),
    "a pipe": (lambda f: pipe(f / "a.pt"), "is no file"),
    "no shards": (
        lambda f: index_of(f / "m.safetensors.index.json", {"a": "b.safetensors"}),
        "1 of its 1 shards are not there",
    ),
    "shards elsewhere": (
        lambda f: index_of(f / "m.index.json", {"a": "../b.safetensors"}),
        "names of files beside it",
    ),
    "no index": (lambda f: index_of(f / "m.index.json", 3), "is no index of shards"),
    "no glob": (lambda f: f"{f}/*.pt", "no file fits it"),
    "a number": (lambda f: "minima=3", "give a run, files of points"),
    "nothing": (lambda f: "minima=[]", "an empty list names no file"),
    "integer points": (
        lambda f: saved({"minima": torch.ones(2, NET.dim).int()}, f / "a.pt"),
        "its minima are int32",
    ),
    "fewer coordinates": (
        lambda f: saved({"minima": torch.ones(2, 7)}, f / "a.pt"),
        "its minima have 7 parameters",
    ),
    "a cube": (lambda f: saved({"minima": torch.ones(2, 1, NET.dim)}, f / "a.pt"), "not [points, "),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_refused_in_a_line(name: str, tmp_path: Path) -> None:
    write, said = WRONG[name]
    told = diagnose(write(tmp_path), tmp_path / "runs")
    assert told.code == 2 and len(told.err.splitlines()) == 1 and said in told.err, told
    assert not (tmp_path / "runs").exists() and not (tmp_path / "ran").exists()


def test_without_points_it_says_which_are_wanted(tmp_path: Path) -> None:
    told = call("diagnose", *WORDS, f"run.root={tmp_path}")
    assert (
        told.code == 2
        and "minima: must be given: minima=RUN" in told.err
        and len(told.err.splitlines()) == 1
    )


def test_numbers_in_names_are_in_their_order(tmp_path: Path) -> None:
    names = ["ep1.pth", "ep2.pth", "ep10.pth", "run9/a.pth", "run10/a.pth"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [*places(str(tmp_path / "ep*.pth")), *places(str(tmp_path / "run*" / "*.pth"))]
    assert [path.relative_to(tmp_path).as_posix() for path in found] == names
