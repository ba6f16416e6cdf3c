"""timm's and transformers' networks, their folders and Lightning's checkpoints, by commands."""

import json
import os
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers and timm look for it: nothing is fetched

from tests.conftest import Command, Said, call
from tests.small_cnn import NET, WORDS

SHORT = [
    "examples=20",
    "autoneb.retries=0",
    "autoneb.steps=4",
    "autoneb.last_steps=4",
    "baselines.gradients=4",
    "baselines.dense=3",
]
TRAIN = ["minima=2", "sgd.steps=12", "sgd.batch_size=8", "executor.workers=1"]
CONFIG = {"n_positions": 8, "n_embd": 8, "n_layer": 1, "n_head": 2}
NO_ENDS = {"bos_token_id": None, "eos_token_id": None}


def as_call(target: str, **arguments: Any) -> str:
    """A call as the command line has it."""
    words = [f"_target_: {target}"]
    for name, value in arguments.items():
        words.append(f"{name}: {'null' if value is None else value}")
    return "{" + ", ".join(words) + "}"


def gpt2(**changed: Any) -> list[str]:
    """The words for a tiny GPT-2 of transformers on sums modulo 5."""
    config = as_call("transformers.GPT2Config", vocab_size=6, **NO_ENDS, **(CONFIG | changed))
    factory = as_call("transformers.GPT2LMHeadModel", _partial_="true", config=config)
    words = ["model=custom", f"model.factory={factory}", "--trust", "transformers"]
    return [*words, "data=modular_addition", "data.p=5"]


def vit() -> list[str]:
    """The words for a tiny ViT of timm on digits."""
    factory = as_call(
        "timm.create_model", _partial_="true", model_name="vit_tiny_patch16_224", img_size=8,
        in_chans=1, num_classes=10, patch_size=4, embed_dim=8, depth=1, num_heads=2,
    )  # fmt: skip
    return ["model=custom", f"model.factory={factory}", "--trust", "timm", "data.limit=30"]


@pytest.mark.slow
@pytest.mark.parametrize("words", [vit(), gpt2()], ids=["timm", "transformers"])
def test_a_librarys_network_is_trained_and_joined(
    sgdtheory: Command, tmp_path: Path, words: list[str]
) -> None:
    trained = sgdtheory("train", *words, *TRAIN)
    assert trained.code == 0, trained.err
    (run,) = (tmp_path / "runs" / "train").iterdir()
    trust = words[words.index("--trust") :][:2]
    refused = sgdtheory("connect", f"minima={run}", *SHORT)
    assert refused.code == 2 and f"add --trust {trust[1]}" in refused.err
    joined = sgdtheory("connect", f"minima={run}", *SHORT, *trust, "plane=0", "executor.workers=1")
    assert joined.code == 0, joined.err
    (results,) = (tmp_path / "runs" / "connect").glob("*/results.json")
    (edge,) = json.loads(results.read_text(encoding="utf-8"))["edges"]
    assert edge["path"]["train_loss"] > 0 and "performance drop" not in trained.err + joined.err


# folders that save_pretrained writes


def model(seed: int = 0, **changed: Any) -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    made: nn.Module = GPT2LMHeadModel(
        GPT2Config(vocab_size=6, **NO_ENDS, **(CONFIG | changed))
    ).eval()
    return made


def vector(module: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def diagnose(words: list[str], minima: Path, root: Path) -> Said:
    return call("diagnose", *words, f"minima={minima}", f"run.root={root}", "executor.workers=1")


@pytest.mark.parametrize("how", [{}, {"max_shard_size": "2KB"}], ids=["whole", "sharded"])
def test_a_folder_of_transformers_is_opened(how: dict[str, str], tmp_path: Path) -> None:
    folder, own = tmp_path / "tiny", model()
    own.save_pretrained(folder, **how)  # type: ignore[operator]
    assert (folder / "config.json").is_file()
    shards = len(list(folder.glob("*.safetensors")))
    assert (shards > 1) == bool(how) == (folder / "model.safetensors.index.json").is_file()
    told = diagnose(gpt2(), folder, tmp_path / "runs")
    assert told.code == 0, told.err
    (run,) = (tmp_path / "runs" / "diagnose").iterdir()
    assert torch.equal(load_file(run / "minima.safetensors")["minima"][0], vector(own))


def two_folders(folder: Path) -> str:
    for seed in (0, 1):
        model(seed).save_pretrained(folder / str(seed))  # type: ignore[operator]
    return f"[{folder}/0,{folder}/1]"


@pytest.mark.slow
def test_two_folders_are_joined(tmp_path: Path) -> None:
    minima = two_folders(tmp_path)
    told = call("connect", *gpt2(), f"minima={minima}", *SHORT, "plane=0", f"run.root={tmp_path}")
    assert told.code == 0, told.err


def wider(folder: Path) -> None:
    model(n_embd=16).save_pretrained(folder)  # type: ignore[operator]


def deeper(folder: Path) -> None:
    model(n_layer=2).save_pretrained(folder)  # type: ignore[operator]


def without_head(folder: Path) -> None:
    """What is below the head, whose names have no prefix."""
    model(n_layer=2).transformer.save_pretrained(folder)  # type: ignore[operator,union-attr]


def one_shard_lost(folder: Path) -> None:
    model().save_pretrained(folder, max_shard_size="2KB")  # type: ignore[operator]
    next(folder.glob("*.safetensors")).unlink()


def cut_short(folder: Path) -> None:
    model().save_pretrained(folder)  # type: ignore[operator]
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])


def no_weights(folder: Path) -> None:
    model().config.save_pretrained(folder)  # type: ignore[operator,union-attr]


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (wider, "is [6, 16]"),
        (deeper, "it also holds"),
        (without_head, "is not of this model"),
        (one_shard_lost, "shards are not there"),
        (cut_short, "damaged or cut short"),
        (no_weights, "holds no run and no checkpoint"),
    ],
)
def test_a_wrong_folder_is_refused(
    write: Callable[[Path], None], says: str, tmp_path: Path
) -> None:
    folder = tmp_path / "tiny"
    write(folder)
    told = diagnose(gpt2(), folder, tmp_path / "runs")
    assert told.code == 2 and says in told.err and len(told.err.splitlines()) <= 3, told
    assert not (tmp_path / "runs").exists()


# checkpoints as Lightning lays them out


def lightning(state: dict[str, Tensor], path: Path, **more: Any) -> Path:
    """A .ckpt as a trainer writes it: the module's weights under the name of its attribute, and
    beside them what a trainer goes on from."""
    moments = {"step": torch.tensor(40.0), "exp_avg": torch.zeros(3), "exp_avg_sq": torch.ones(3)}
    group = {"lr": 0.1, "betas": (0.9, 0.999), "params": [0], "maximize": False, "fused": None}
    best = "ModelCheckpoint{'monitor': 'val_loss', 'mode': 'min', 'every_n_train_steps': 0}"
    saving = {"monitor": "val_loss", "best_model_score": torch.tensor(0.5), "best_k_models": {},
              "best_model_path": "/x/epoch=3.ckpt", "kth_value": torch.tensor(0.5)}  # fmt: skip
    progress = {"total": {"ready": 40, "completed": 40}, "current": {"ready": 10}}
    content = {
        "epoch": 3,
        "global_step": 40,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {f"model.{name}": x for name, x in state.items()},
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": progress}},
        "callbacks": {best: saving, "Timer": defaultdict(dict, {"train": {}})},
        "optimizer_states": [{"state": {0: moments}, "param_groups": [group]}],
        "lr_schedulers": [{"T_max": 10, "base_lrs": [0.1], "last_epoch": 4, "_last_lr": [0.05]}],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 0.1, "data": Path("/x/data"), "name": "run"},
    }
    torch.save(content | more, path)
    return path


def attributes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lightning's dictionary of hyper-parameters, by the name that its checkpoints have for it."""
    name = "lightning.fabric.utilities.data"
    kind = type("AttributeDict", (dict,), {"__module__": name})
    module = ModuleType(name)
    module.AttributeDict = kind  # type: ignore[attr-defined]
    for part in ("lightning", "lightning.fabric", "lightning.fabric.utilities"):
        monkeypatch.setitem(sys.modules, part, ModuleType(part))
    monkeypatch.setitem(sys.modules, name, module)
    return kind(width=2)


STATE = NET.model_at(torch.linspace(-0.1, 0.1, NET.dim)).state_dict()


@pytest.mark.parametrize("hyper", ["plain", "their own kind"])
def test_a_checkpoint_of_lightning_is_opened(
    hyper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        more = {"hyper_parameters": attributes(patch)} if hyper != "plain" else {}
        file = lightning(STATE, tmp_path / "epoch=3-step=40.ckpt", **more)
    told = diagnose(list(WORDS), file, tmp_path / "runs")
    assert told.code == 0, told.err
    assert "weights of 'state_dict', prefix 'model.' dropped" in told.err
    (run,) = (tmp_path / "runs" / "diagnose").iterdir()
    point = load_file(run / "minima.safetensors")["minima"][0]
    torch.testing.assert_close(point, torch.linspace(-0.1, 0.1, NET.dim))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"state_dict": {}}, "is not of this model"),
        ({"hyper_parameters": {"loss": nn.CrossEntropyLoss()}}, "no code of a file is ever run"),
        ({"state_dict": {"model.other": torch.ones(3)}}, "it holds model.other"),
    ],
)
def test_a_wrong_checkpoint_of_lightning_is_refused(
    more: dict[str, Any], says: str, tmp_path: Path
) -> None:
    file = lightning(STATE, tmp_path / "last.ckpt", **more)
    told = diagnose(list(WORDS), file, tmp_path / "runs")
    assert told.code == 2 and says in told.err and len(told.err.splitlines()) <= 3, told
    assert not (tmp_path / "runs").exists()
