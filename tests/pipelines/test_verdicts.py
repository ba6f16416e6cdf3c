"""What `connect` and `train` say of points that are no minima, of copies, and where something beside the path fails."""

import json
import math
import shutil
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import sgdtheory as package
from sgdtheory.data.digits import digits
from sgdtheory.data.examples import Examples
from sgdtheory.errors import RunError, UserError
from sgdtheory.landscapes.network import Network
from sgdtheory.losses.cross_entropy import CrossEntropy
from sgdtheory.models.mlp import MLP
from sgdtheory.optim.schedule import Cosine
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.trained import untrained
from sgdtheory.paths import baselines, edge
from sgdtheory.paths.baselines import Baselines, Ways, symmetry_of
from sgdtheory.paths.claims import Findings
from sgdtheory.paths.edge import join
from sgdtheory.paths.polyline import points_at
from sgdtheory.paths.presets import fast
from sgdtheory.paths.profile import profile
from sgdtheory.paths.verdict import doubts_of
from sgdtheory.paths.ways import lowest_way
from sgdtheory.pipelines.train import describe_point
from sgdtheory.rng import stream
from sgdtheory.runs.folder import CorruptFile
from sgdtheory.runs.interrupt import Interrupted
from sgdtheory.runs.unit import Unit, UnitFolder
from tests.conftest import Said, call

NET = (
    "model=mlp",
    "model.hidden=[8]",
    "data.test_share=0.9",
    "threads=1",
    "executor.workers=1",
    "--quiet",
)
FEW = (
    "autoneb.steps=25",
    "autoneb.last_steps=40",
    "autoneb.retries=0",
    "baselines.gradients=20",
    "baselines.dense=4",
    "plane=0",
)
NEXT_TO_NOTHING = (
    "autoneb.steps=1",
    "autoneb.last_steps=1",
    "autoneb.multiples=[1.0]",
    "baselines.gradients=1",
)
QUICK = fast(steps=5, last_steps=5, multiples=(1.0,), retries=0)


@pytest.fixture(scope="module")
def landscape() -> Network:
    return Network(partial(MLP, hidden=(8,)), digits(0.9))


@pytest.fixture(scope="module")
def minima(landscape: Network) -> Tensor:
    """Two minima [2, n] that fit their 179 images."""
    *_, last = SGD(600, 64, 0.3, Cosine(), 0.9).run(
        landscape, landscape.init(2, stream(1, "init")), 0
    )
    return last.cloud.detach()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def connect(cloud: Tensor, *words: str) -> tuple[dict[str, Any], Said]:
    """The results of joining the rows of a cloud, and what was said."""
    save_file({"minima": cloud.contiguous()}, "cloud.safetensors")
    said = call("connect", *NET, *FEW, "minima=[cloud.safetensors]", *words)
    assert said.code == 0, said.err
    return newest("connect"), said


def newest(command: str) -> dict[str, Any]:
    path = max(Path("runs", command).iterdir(), key=lambda path: path.stat().st_mtime)
    found: dict[str, Any] = json.loads((path / "results.json").read_text(encoding="utf-8"))
    return found


# ends that are no minima


def test_the_best_constant_prediction(landscape: Network) -> None:
    """Its losses by hand: a network whose last layer is nothing but biases, log p or p."""
    p = torch.bincount(landscape.data.train_targets).double() / landscape.count
    theta = torch.zeros(1, landscape.dim, dtype=torch.float64)
    theta[0, -10:] = p.log()
    assert landscape.constant_loss() == pytest.approx(
        float(landscape.score(theta, "train").losses.mean()), rel=1e-6
    )
    squares = Network(partial(MLP, hidden=(8,)), digits(0.9), loss="mse")
    theta[0, -10:] = p
    assert squares.constant_loss() == pytest.approx(
        float(squares.score(theta, "train").losses.mean()), rel=1e-6
    )


def test_of_twenty_pairs_of_untrained_ends_none_is_connected(
    landscape: Network, tmp_path: Path
) -> None:
    """Flat between them all, and still nothing is said."""
    cloud = landscape.init(7, stream(0, "ends"))
    rows = []
    for i, j in list(combinations(range(7), 2))[:20]:
        row, _ = join(
            landscape,
            QUICK,
            Baselines(1, 2),
            cloud[[i, j]],
            0,
            UnitFolder(tmp_path / f"{i}-{j}", Unit("edge", {})),
        )
        rows.append({"pair": [i, j], **row})
        assert row["verdict"].startswith(
            "cannot be said: the first end is not trained: training loss 2.3"
        )
    assert sum(row["lowest_way"]["barrier"]["value"] < 0.01 for row in rows) == 20
    minima = [describe_point(landscape, theta) for theta in cloud]
    for row in rows:
        claims = Findings(landscape, cloud, minima, [row], set(row["pair"]), True, 1).claims()
        assert [claim.holds for claim in claims] == [None, None] and "is connected" not in claims[
            0
        ].statement


def test_of_untrained_ends_nothing_is_said(landscape: Network) -> None:
    found, said = connect(landscape.init(3, stream(0, "ends")), *NEXT_TO_NOTHING)
    claim = found["claims"][0]
    assert claim["holds"] is None and claim["why"] in claim["statement"]
    assert claim["statement"].startswith(
        "cannot be said: minimum 0 is not trained: training loss 2.3"
    )
    assert (
        "the best constant prediction has 2.30" in claim["statement"]
        and "and so for 2 more" in claim["statement"]
    )
    assert all(each["holds"] is None for each in found["claims"])
    assert "cannot be said: minimum 0" in said.out and "are connected" not in said.out + json.dumps(
        found["claims"]
    )
    page = next(Path("runs/connect").glob("*/report.html")).read_text(encoding="utf-8")
    assert "? cannot be said" in page and "✓ holds" not in page


def test_one_untrained_end_is_named(landscape: Network, minima: Tensor) -> None:
    found, _ = connect(
        torch.cat([minima[:1], landscape.init(1, stream(0, "ends"))]), *NEXT_TO_NOTHING
    )
    assert found["claims"][0]["statement"].startswith(
        "cannot be said: minimum 1 is not trained: training loss 2."
    )
    assert found["edges"][0]["verdict"].startswith("cannot be said: the second end is not trained")


def test_an_end_whose_scores_are_not_finite_is_joined_with_none(minima: Tensor) -> None:
    cloud = torch.cat([minima, torch.full_like(minima[:1], 1e25)])
    found, _ = connect(cloud, "pairs=[[0,1],[0,2]]", *NEXT_TO_NOTHING)
    assert [row["pair"] for row in found["edges"]] == [[0, 1]] and found["minima"][2][
        "train_loss"
    ] is None
    assert found["claims"][0]["holds"] is None
    assert (
        "minimum 2 is not trained: its training loss is not finite"
        in found["claims"][0]["statement"]
    )


def test_shuffled_labels(landscape: Network, minima: Tensor) -> None:
    """What fits the true labels is no minimum of shuffled ones, and training for a while makes it none."""
    data = digits(0.9)
    order = torch.randperm(len(data.train_targets), generator=stream(0, "shuffled"))
    shuffled = Network(
        partial(MLP, hidden=(8,)), replace(data, train_targets=data.train_targets[order])
    )
    line = torch.linspace(0, 1, 3, dtype=torch.float64)
    assert not doubts_of(landscape, profile(landscape, points_at(minima, line), line))
    *_, last = SGD(60, 64, 0.1, Cosine(), 0.9).run(shuffled, shuffled.init(2, stream(0, "init")), 0)
    for ends in (minima, last.cloud):
        found = doubts_of(shuffled, profile(shuffled, points_at(ends, line), line))
        assert len(found) == 2 and found[0].startswith("the first end is not trained")


def test_half_of_the_constant_is_the_bar() -> None:
    class Two:
        def constant_loss(self) -> float:
            return 2.0

    assert untrained(Two(), 1.0) == "" and untrained(object(), 5.0) == ""
    assert untrained(Two(), 1.001) == "training loss 1.00, the best constant prediction has 2.00"
    assert (
        untrained(Two(), None)
        == untrained(object(), float("nan"))
        == "its training loss is not finite"
    )


def test_half_is_asked_above_the_lowest_loss() -> None:
    class Soft:
        def constant_loss(self) -> float:
            return 2.0

        def lowest_loss(self) -> float:
            return 1.5

    assert untrained(Soft(), 1.75) == untrained(Soft(), 1.5) == ""
    assert untrained(Soft(), 1.76) == (
        "training loss 1.76, the best constant prediction has 2.00, and the targets allow none "
        "below 1.50"
    )


def softened(train_targets: Tensor) -> Network:
    """A small network on 200 drawn inputs of six numbers, and these targets [200, 4]."""
    inputs = torch.randn(200, 6, generator=stream(0, "inputs"), dtype=torch.float64)
    data = Examples(inputs, train_targets, inputs, train_targets, 4, "soft")
    return Network(partial(MLP, hidden=(8,)), data)


def test_soft_targets_that_are_all_alike_ask_for_nothing() -> None:
    """The best constant is the lowest there is, to rounding: half of nothing means nothing."""
    q = torch.rand(4, generator=stream(0, "q"), dtype=torch.float64).softmax(0)
    same = softened(q.expand(200, -1))
    assert same.lowest_loss() == pytest.approx(same.constant_loss(), rel=1e-12)
    assert untrained(same, same.constant_loss() * (1 + 1e-12)) == ""


def test_a_student_that_is_its_teacher_is_trained() -> None:
    """Its loss is the entropy of the teacher's probabilities, more than half of the constant's."""
    drawn = torch.rand(200, 4, generator=stream(0, "any"), dtype=torch.float64).softmax(1)
    teacher = softened(drawn)
    theta = 3 * teacher.init(1, stream(0, "teacher")).double()[0]
    with torch.no_grad():
        said = teacher.model_at(theta)(teacher.data.train_inputs).softmax(1)
    student = softened(said)
    loss = float(student.score(theta[None], "train").losses.mean())
    assert loss == pytest.approx(student.lowest_loss(), rel=1e-12)
    assert loss > student.constant_loss() / 2
    assert untrained(student, loss) == ""
    assert "and the targets allow none below" in untrained(student, 2 * student.constant_loss())


def test_smoothed_classes_that_are_learned_are_trained() -> None:
    """Half of the classes' weight is spread: the lowest loss is 1.68 of the best constant's 2.30."""
    smooth = ("loss.label_smoothing=0.5", "landscape.weight_decay=1e-4", "sgd.steps=600")
    assert call("train", *NET, *smooth, "minima=1").code == 0
    found = newest("train")
    (row,) = found["minima"]
    lowest = -(0.55 * math.log(0.55) + 9 * 0.05 * math.log(0.05))
    assert lowest < row["train_loss"] < lowest + 0.2
    assert "not trained" not in found["claims"][0]["statement"]


def test_training_that_never_left_the_constant_is_no_minimum() -> None:
    assert call("train", *NET, "sgd.steps=1", "sgd.learning_rate=1e-6", "minima=2").code == 0
    claim = newest("train")["claims"][0]
    assert claim["holds"] is False and claim["statement"].startswith("2 points of MLP")
    assert "0 is no minimum, it is not trained: training loss 2.3" in claim["statement"]
    assert newest("train")["claims"][1]["value"] < 1  # a fraction; the sentence has per cent


# copies


def test_a_permuted_copy_is_connected_by_the_aligned_line(
    landscape: Network, minima: Tensor
) -> None:
    units = symmetry_of(landscape)
    copy = units.apply(minima[0], units.random(stream(0, "permuted")))
    assert not torch.equal(copy, minima[0])
    found, _ = connect(torch.stack([minima[0], copy]))
    row, claim = found["edges"][0], found["claims"][0]
    assert row["lowest_way"]["name"] == "aligned" and row["aligned"]["same_function"]
    assert (
        row["lowest_way"]["barrier"]["value"]
        == row["aligned_barrier"]["value"]
        == pytest.approx(0, abs=1e-6)
    )
    assert row["linear"]["train_loss"] > 0.1  # the straight line is no way between them
    assert claim["holds"] is True and "connected by the aligned straight line" in claim["statement"]
    assert "0 and 1 are the same function up to a renumbering of hidden units" in claim["statement"]


def test_two_minima_are_no_copies(minima: Tensor) -> None:
    found, _ = connect(minima, *NEXT_TO_NOTHING)
    assert (
        not found["edges"][0]["aligned"]["same_function"]
        and "same function" not in found["claims"][0]["statement"]
    )


def test_equal_minima_are_taken_once(minima: Tensor) -> None:
    found, _ = connect(
        minima[[0, 0, 1, 0]], "pairs=[[1,2]]", *NEXT_TO_NOTHING
    )  # in the numbers of what was given
    assert found["merged"] == [[1, 0], [3, 0]] and len(found["minima"]) == 2
    assert [row["pair"] for row in found["edges"]] == [[0, 1]]
    assert (
        "(as given, 1 is 0 again, 3 is 0 again); each is taken once: 0 to 1 here are 0, 2 as given"
        in found["claims"][-1]["statement"]
        and found["claims"][-1]["holds"] is False
    )
    said = call("connect", *NET, "minima=[cloud.safetensors]", "pairs=[[0,3]]")
    assert said.code == 2 and "0 and 3 are the same point" in said.err
    save_file({"minima": minima[[0, 0]].contiguous()}, "one.safetensors")
    said = call("connect", *NET, "minima=[one.safetensors]")
    assert said.code == 2 and "all 2 are one and the same point" in said.err


def test_minima_of_a_formula_that_were_found_twice() -> None:
    """Of four trainings two minima, each twice; they are not the two that the formula states its barrier between."""
    words = ("landscape=muller_brown", "threads=1", "executor.workers=1")
    said = call("train", *words, "--quiet")
    assert said.code == 0 and "; 2 of them are different" in " ".join(said.out.split())
    said = call("connect", *words)
    assert (
        said.code == 0
        and "minima of runs/train/mullerbrown-" in said.err
        and "4 minima, " in said.err
    )
    found = newest("connect")
    assert len(found["minima"]) == 2 and len(found["merged"]) == 2
    assert (
        found["claims"][0]["holds"] is None
        and found["claims"][0]["why"] == "no barrier is stated between these"
    )
    # one valley on the way from the lowest minimum: the highest saddle is that between the first two, over the first
    assert found["edges"][0]["barrier_from"][0] == pytest.approx(106.0347, rel=3e-3)
    assert found["edges"][0]["barrier"]["value"] == pytest.approx(
        min(found["edges"][0]["barrier_from"])
    )


def test_a_run_of_one_minimum_falls_back_to_those_that_are_stated() -> None:
    words = ("landscape=double_well", "threads=1", "executor.workers=1")
    assert call("train", *words, "minima=1", "--quiet").code == 0
    said = call("connect", *words)
    assert (
        said.code == 0
        and "found one point alone" in said.err
        and "itself states are joined" in said.err
    )
    assert newest("connect")["claims"][0]["holds"] is True


# what is extra


@pytest.mark.parametrize(
    ("where", "lost"),
    [
        ("sgdtheory.paths.baselines.align", ("aligned", "aligned_barrier")),
        ("sgdtheory.losses.cross_entropy.CrossEntropy.predictions", ("ensemble",)),
        (
            "sgdtheory.landscapes.network.Network.statistics",
            ("interpolated_statistics", "ensemble"),
        ),
        ("sgdtheory.paths.edge.saddle_index", ("path.index",)),
        ("sgdtheory.paths.baselines.curve_points", ("bezier", "chain")),
        ("sgdtheory.paths.profile.Profile.barrier_above_line", ("barrier_above_line",)),
    ],
)
@pytest.mark.parametrize(
    "fault",
    [
        RuntimeError("no kernel"),
        KeyError("weight_g"),
        RunError("no kernel"),
        UserError("no kernel"),
    ],
)
def test_an_extra_that_fails_is_null(
    landscape: Network, minima: Tensor, where: str, lost: tuple[str, ...], fault: Exception,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def failing(*_: Any, **__: Any) -> Any:
        raise fault

    monkeypatch.setattr(where, failing)
    row, _ = join(
        landscape, QUICK, Baselines(3, 3), minima, 0, UnitFolder(tmp_path, Unit("edge", {}))
    )
    for name in lost:
        holder = row["path"] if name.startswith("path.") else row
        name = name.removeprefix("path.")
        assert holder[name] is None and (
            "no kernel" in holder[f"{name}_why"] or "weight_g" in holder[f"{name}_why"]
        )
    rest = {"linear", "aligned", "bezier", "chain", "ensemble", "average", "shared_mistakes"} - set(
        lost
    )
    assert (
        all(row[name] is not None for name in rest)
        and row["verdict"]
        and row["lowest_way"]["name"] not in lost
    )


@pytest.mark.parametrize(
    "fault", [Interrupted(), OSError(28, "no space"), CorruptFile("x is damaged")]
)
def test_the_disk_and_the_user_are_no_reasons(
    landscape: Network,
    minima: Tensor,
    fault: BaseException,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise fault

    monkeypatch.setattr(baselines, "align", failing)
    with pytest.raises(type(fault)):
        join(landscape, QUICK, Baselines(3, 3), minima, 0, UnitFolder(tmp_path, Unit("edge", {})))


def test_a_run_whose_baselines_all_fail_has_its_page(
    minima: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise TypeError("not with this module")

    for name in ("align", "curve_points"):
        monkeypatch.setattr(baselines, name, failing)
    monkeypatch.setattr(edge, "saddle_index", failing)
    monkeypatch.setattr(Ways, "straight", failing)
    monkeypatch.setattr(CrossEntropy, "predictions", failing)
    monkeypatch.setattr(Network, "check", lambda *_: "")  # which would refuse such a module
    found, said = connect(
        torch.cat([minima, minima[:1] + 0.01]), "pairs=all", "plane=3", *NEXT_TO_NOTHING
    )
    row = found["edges"][0]
    assert (
        row["linear"] is row["straight_barrier"] is row["bezier"] is None
        and row["lowest_way"]["name"] == "path"
    )
    assert row["linear_why"] == row["bezier_why"] == "TypeError: not with this module"
    page, table = (
        next(Path("runs/connect").glob(f"*/{name}")).read_text(encoding="utf-8")
        for name in ("report.html", "table.csv")
    )
    assert (
        "The graph of the minima" in page
        and table.count("\n") == 4
        and "TypeError: not with this module" in said.out
    )


def test_a_bend_that_failed_is_not_tried_again(
    landscape: Network, minima: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an interruption the log is the same: a failed stage keeps what it had logged."""
    calls, real = [], baselines.run_lowering

    def failing(folder: UnitFolder, name: str, *args: Any, **more: Any) -> Any:
        if name == "bezier":
            calls.append(name)
            folder.log(stage=name, step=1)
            raise RunError("the loss is not finite from step 1 of bezier on")
        return real(folder, name, *args, **more)

    folder = UnitFolder(tmp_path, Unit("edge", {}))
    monkeypatch.setattr(baselines, "run_lowering", failing)
    first, _ = join(landscape, QUICK, Baselines(3, 3), minima, 0, folder)
    logged = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8")
    again, _ = join(
        landscape, QUICK, Baselines(3, 3), minima, 0, UnitFolder(tmp_path, Unit("edge", {}))
    )
    assert calls == ["bezier"] and logged.count("bezier") == 1
    assert first["bezier"] is again["bezier"] is None and first["bezier_why"] == again["bezier_why"]
    assert first["lowest_way"] == again["lowest_way"]


def test_the_lowest_way() -> None:
    def ways(**barriers: float | None) -> dict[str, Any]:
        found = {
            name: {"barrier": {"value": value, "stderr": 0.01}, "train_loss": 1.0}
            for name, value in barriers.items()
        }
        return {"linear": None, **found, "barrier": found["path"]["barrier"]}

    assert lowest_way(ways(aligned=0.5, bezier=0.07, chain=0.2, path=0.906))["name"] == "bezier"
    assert (
        lowest_way(ways(linear=0.0, bezier=0.0, path=0.0))["name"] == "linear"
    )  # the simplest of equals
    assert lowest_way(ways(linear=float("nan"), bezier=None, path=0.3)) == {
        "name": "path", "barrier": {"value": 0.3, "stderr": 0.01},
    }  # fmt: skip


def test_a_low_bend_decides(landscape: Network, minima: Tensor, tmp_path: Path) -> None:
    """With no budget for the path, a curve that was trained is lower: the verdict and its barrier are the curve's."""
    none = fast(steps=1, last_steps=1, multiples=(1e-6,), retries=0)
    row, _ = join(
        landscape, none, Baselines(300, 9), minima, 0, UnitFolder(tmp_path, Unit("edge", {}))
    )
    name = row["lowest_way"]["name"]
    assert name in ("bezier", "chain") and row["lowest_way"]["barrier"] == row[name]["barrier"]
    assert (
        row["lowest_way"]["barrier"]["value"]
        < row["barrier"]["value"]
        == row["path"]["barrier"]["value"]
    )
    assert {"bezier": "the Bézier curve", "chain": "the chain"}[name] in row["verdict"]


# which minima, and where


def test_which_run_was_taken_is_said() -> None:
    assert call("train", *NET, "sgd.steps=200", "minima=2").code == 0
    (first,) = Path("runs/train").iterdir()
    assert (
        call("train", *NET, "sgd.steps=200", "minima=2", "sgd.learning_rate=1e6", "seed=1").code
        == 1
    )
    loud = [word for word in NET if word != "--quiet"]
    said = call(
        "connect", *loud, *FEW, *NEXT_TO_NOTHING, "landscape.learning_rate=0.1"
    )  # a rate is no part of a landscape
    assert (
        said.code == 0
        and f"minima of {first}: 2 minima, training error" in said.err
        and "ago" in said.err
    )
    assert "is newer, but failed" in said.err
    rate = "landscape.learning_rate=0.2"  # of a named run too, whose model and data are not typed
    assert call("connect", f"minima={first}", "--dry-run", rate).code == 0
    found = newest("connect")
    assert (
        found["minima_from"]["run"] == str(first)
        and found["minima_from"]["train_error"] is not None
    )
    (path,) = Path("runs/connect").iterdir()
    assert str(first) in (path / "report.html").read_text(encoding="utf-8")
    assert "learning_rate: 0.1" in (path / "config.yaml").read_text(encoding="utf-8")
    of_another = call("connect", *loud, "landscape.weight_decay=0.5").err
    assert f"{first} is of another landscape" in of_another
    assert f"minima of {first}" not in of_another
    assert str(first) not in call("connect", *NET, *FEW, *NEXT_TO_NOTHING, "seed=3").err  # --quiet


def test_a_run_is_loaded_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From another folder, and as a copy beside which there is nothing: the minima are in the run."""
    assert call("train", *NET, "sgd.steps=5", "minima=2").code == 0
    assert call("connect", *NET, *FEW, *NEXT_TO_NOTHING).code == 0
    (path,) = (tmp_path / "runs" / "connect").iterdir()
    minima = load_file(path / "minima.safetensors")["minima"]
    elsewhere = tmp_path / "else" / "where"
    elsewhere.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    for run in (path, Path("../..") / path.relative_to(tmp_path)):
        assert torch.equal(package.load(run).minima, minima)
    copy = Path(shutil.copytree(path, elsewhere / "copy"))
    shutil.rmtree(tmp_path / "runs")
    loaded = package.load(copy)
    assert torch.equal(loaded.minima, minima) and torch.equal(loaded.paths[0, 1][[0, -1]], minima)
    assert (
        torch.equal(loaded.pipeline.nodes.cpu(), minima)
        and loaded.run.hash == loaded.run.manifest["config_hash"]
    )
    (copy / "minima.safetensors").write_bytes(
        (copy / "minima.safetensors").read_bytes()[:-4] + b"1234"
    )
    with pytest.raises(RunError, match="not the file that its run wrote"):
        package.load(copy)


def test_edges_are_foreseen_before_the_minima_are_scored(minima: Tensor) -> None:
    save_file({"minima": torch.cat([minima, minima + 0.1]).contiguous()}, "four.safetensors")
    words = (*NET, "minima=[four.safetensors]", "--dry-run")
    out = call("connect", *words, "pairs=[[0,1],[2,3]]").out
    assert (
        "minimum-3" in out
        and "edge-0-1, edge-2-3" in out.replace("\n", " ")
        and "7 units: 7 to do" in out
    )
    out = " ".join(call("connect", *words).out.split())
    assert "8 units: 8 to do" in out and "edge 3 of the tree's 3" in out
