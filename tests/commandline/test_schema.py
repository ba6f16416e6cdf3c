"""The signature is the schema: what is accepted, what is refused, what belongs to a run's identity."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sgdtheory.annotations import (
    BelowOne,
    Content,
    ContentPath,
    Fraction,
    Importable,
    Place,
    PlacePath,
    PositiveFloat,
    PositiveInt,
)
from sgdtheory.commandline.composer import groups
from sgdtheory.commandline.front import launch
from sgdtheory.commandline.schema import Checker, build, refuse
from sgdtheory.commandline.sources import digest_of_sources
from sgdtheory.errors import UserError
from sgdtheory.models.mlp import MLP
from sgdtheory.optim.schedule import Constant, Cosine, Schedule, Steps, Warmup
from sgdtheory.runs.digests import digest
from sgdtheory.runs.task import Task

COSINE = {"_target_": "sgdtheory.optim.schedule.Cosine"}
RING = {"_target_": "sgdtheory.landscapes.ring.Ring"}


@runtime_checkable
class Bell(Protocol):
    def ring(self) -> str: ...


@dataclass(frozen=True)
class House:
    """One parameter of each kind."""

    rooms: PositiveInt
    area: PositiveFloat | Literal["unknown"] = 1.0
    roof: Literal["flat", "steep"] = "flat"
    name: str | None = None
    heated: bool = False
    depths: tuple[Fraction, ...] = ()
    where: PlacePath = Path("here")
    device: Annotated[str, Place] = "cpu"


def check(
    target: Callable[..., Any], arguments: dict[str, Any], *trust: str
) -> tuple[Any, dict[str, Any], list[str]]:
    """(what is built, its identity, faults)."""
    checker = Checker(trust)
    node = checker.call(target, arguments, "")
    return (None if checker.faults else build(node)), node.science, checker.faults


def value(annotation: Any, thing: Any, *trust: str) -> tuple[Any, Any, list[str]]:
    checker = Checker(trust)
    checked, identity = checker.value(annotation, thing, "x")
    return (None if checker.faults else build(checked)), identity, checker.faults


@pytest.mark.parametrize(
    ("annotation", "given", "expected"),
    [
        (int, 3, 3),
        (PositiveInt, 1e3, 1000),
        (float, 2, 2.0),
        (PositiveFloat | Literal["auto"], "auto", "auto"),
        (PositiveFloat | Literal["auto"], 3, 3.0),
        (PositiveInt | None, None, None),
        (bool, True, True),
        (bool | Literal["graphs"], False, False),
        (bool | Literal["graphs"], "graphs", "graphs"),
        (Literal["a", "b"], "b", "b"),
        (tuple[Fraction, ...], [0.5, 1], (0.5, 1.0)),
        (list[int] | None, [1, 2], [1, 2]),
        (Path, "a/b", Path("a/b")),
        (tuple[PositiveFloat, ...] | Literal["auto"], 0.1, (0.1,)),
        (tuple[PositiveFloat, ...] | Literal["auto"], "auto", "auto"),
        (tuple[PositiveInt, ...], 32, (32,)),
        (list[Fraction] | None, 0.5, [0.5]),
        (list[int] | None, None, None),
        (Literal["tree"] | tuple[tuple[int, int], ...], [0, 1], ((0, 1),)),
        (dict[str, Any], {}, {}),
        (list[bool], [True], [True]),
        (Any, True, True),
        (Constant | None, None, None),
        (float | Steps, 3, 3.0),
    ],
)
def test_a_value_that_fits_is_taken(annotation: Any, given: Any, expected: Any) -> None:
    found, _, faults = value(annotation, given)
    assert faults == []
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "given", "says"),
    [
        (int, "three", "integer, not 'three'"),
        (int, 2.5, "integer, not 2.5"),
        (int, None, "not None"),
        (int, True, "true is not a number"),
        (float, float("nan"), "finite"),
        (float, float("inf"), "finite"),
        (str, False, "false is not a number or a name"),
        (tuple[float, ...], [1.0, True], "true is not a number"),
        (tuple[PositiveInt, ...], 0, "not 0"),
        (tuple[PositiveInt, ...], True, "true is not a number"),
        (tuple[PositiveInt, ...] | Literal["auto"], "atuo", "did you mean 'auto'?"),
        (tuple[int, int], 3, "not 3"),
        (PositiveInt, 0, "greater than or equal to 1, not 0"),
        (BelowOne, 1.0, "less than 1, not 1.0"),
        (tuple[Fraction, ...], [0.5, 2], "x[1]: must be less than or equal to 1, not 2"),
        (
            PositiveFloat | Literal["auto"],
            "atuo",
            "'atuo' is not one of auto, float; did you mean 'auto'?",
        ),
        (PositiveFloat | Literal["auto"], -1, "greater than 0, not -1"),
        (Literal["flat", "steep"], "step", "did you mean 'steep'?"),
        (bool, 3, "not 3"),
        (Schedule, {}, "Schedule"),
        (Constant, {}, "must be a Constant, named by a _target_, not {}"),
        (Constant | Steps, 3, "must be a Constant or a Steps"),
        (float | Steps, {"factor": 0.5}, "must be a Steps"),
        (Constant, None, "must be a Constant"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(annotation: Any, given: Any, says: str) -> None:
    _, _, faults = value(annotation, given)
    assert len(faults) == 1 and says in faults[0], faults


def test_all_that_is_wrong_is_told() -> None:
    _, _, faults = check(House, {"roof": "stepp", "area": -1, "nmae": "x", "heated": "perhaps"})
    assert [fault.split(":")[0] for fault in faults] == ["roof", "area", "nmae", "heated", "rooms"]
    assert (
        "did you mean 'steep'" in faults[0]
        and "did you mean 'name'" in faults[2]
        and "must be given" in faults[4]
    )
    with pytest.raises(UserError) as told:
        refuse(faults)
    assert len(str(told.value).splitlines()) == 3 and all(
        fault in str(told.value) for fault in faults
    )


def test_a_key_that_yaml_reads_as_a_truth_value_is_told() -> None:
    """`on: 3` is {True: 3} in yaml."""
    arguments: Any = {"rooms": 1, True: 3}
    _, _, faults = check(House, arguments)
    assert faults == ["True: a key is text; put quotes around it, as in 'on'"]


def test_what_must_be_given_says_how() -> None:
    assert check(House, {"rooms": "???"})[2] == ["rooms: must be given: rooms=…"]


def test_identity_is_of_what_was_coerced_and_without_places() -> None:
    found, identity, faults = check(
        House, {"rooms": 1e3, "area": 2, "where": "there", "device": "cuda"}
    )
    assert faults == [] and found == House(1000, 2.0, where=Path("there"), device="cuda")
    source = digest_of_sources(
        House.__module__
    )  # code that is not ours is part of what is computed
    assert identity == {
        "_target_": f"{House.__module__}.House",
        "source": source,
        "rooms": 1000,
        "area": 2.0,
    }
    assert digest(identity) == digest(check(House, {"area": 2.0, "rooms": 1000})[1])


def test_a_number_where_a_list_is_meant_is_the_same_thing() -> None:
    alone, listed = (value(tuple[Fraction, ...], given) for given in (0.5, [0.5]))
    assert alone == listed and alone[1] == (0.5,)


def test_an_empty_list_of_files_is_refused() -> None:
    annotation = Annotated[tuple[Path, ...] | None, Content]
    assert value(annotation, [])[2] == [
        "x: an empty list names no file; give at least one, or leave it out"
    ]
    assert value(annotation, None)[2] == []


def test_a_path_is_known_by_what_it_holds(tmp_path: Path) -> None:
    for name, text in (("a", "same"), ("b", "same"), ("c", "other")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    a, b, c = (value(ContentPath, str(tmp_path / name))[1] for name in "abc")
    assert a == b != c
    assert value(ContentPath, str(tmp_path / "d"))[2] == [
        f"x: no such file or folder: {tmp_path / 'd'}"
    ]


def test_nodes_inside_nodes_lists_and_dictionaries() -> None:
    found, identity, _ = value(
        Schedule, {"_target_": "sgdtheory.optim.schedule.Warmup", "then": COSINE, "share": 0.25}
    )
    assert found == Warmup(Cosine(), 0.25)
    assert identity["then"] == {"_target_": "Cosine"}  # which file it stands in is no part of it
    steps = {"_target_": "sgdtheory.optim.schedule.Steps", "milestones": [0.5], "factor": 0.5}
    assert value(list[Schedule], [COSINE, steps])[0] == [Cosine(), Steps((0.5,), 0.5)]
    assert value(dict[str, Schedule], {"a": COSINE, "b": steps})[0] == {
        "a": Cosine(),
        "b": Steps((0.5,), 0.5),
    }
    assert value(dict[str, Any] | None, {"a": COSINE})[0] == {"a": Cosine()}
    assert value(list[Schedule], [COSINE, RING])[2] == [
        "x[1]: Ring is no Schedule: it has no __call__"
    ]
    assert value(dict[str, Schedule], {"a": RING})[2] == [
        "x.a: Ring is no Schedule: it has no __call__"
    ]
    assert value(list[Schedule], [{**steps, "factor": 2}])[2] == [
        "x[0].factor: must be less than or equal to 1, not 2"
    ]


def test_a_partial_waits_for_the_rest() -> None:
    node = {"_target_": "sgdtheory.models.mlp.MLP", "_partial_": True, "hidden": [4]}
    found, identity, faults = value(Callable[..., MLP], node)
    assert faults == [] and isinstance(found, partial) and "_partial_" not in identity
    assert isinstance(found(shape=(1, 2, 2), classes=3), MLP)
    assert value(
        Callable[..., MLP], {**node, "_target_": "sgdtheory.optim.schedule.Cosine", "hidden": 3}
    )[2] == ["x: Cosine is no MLP"]
    assert value(Any, {**node, "hiden": 3})[2] == [
        "x.hiden: MLP has no parameter 'hiden'; did you mean 'hidden'?"
    ]
    assert value(Any, {**node, "zzz": 3})[2] == [
        "x.zzz: MLP has no parameter 'zzz'; '~x.zzz' leaves it out"
    ]


def test_what_is_of_another_kind_is_refused_before_anything_is_built() -> None:
    assert value(Bell, RING)[2] == ["x: Ring is no Bell: it has no ring"]
    assert value(Constant, COSINE)[2] == ["x: Cosine is no Constant"]
    assert value(Constant | Cosine, COSINE)[0] == Cosine()
    assert value(Schedule | None, COSINE)[0] == Cosine()
    assert value(int, COSINE)[2] == ["x: Cosine is no int"]
    assert value(Literal["a", "b"], COSINE)[2] == ["x: must be one of a, b, not a Cosine"]
    assert value(dict[str, Schedule], COSINE)[2] == ["x: Cosine is no dict"]
    assert value(Schedule, {**COSINE, "_partial_": True})[2] == [
        "x: Cosine itself is asked for; leave _partial_ out"
    ]


def test_nothing_is_called_while_it_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bomb_of_a_test.py").write_text(
        "def bomb(x: int): raise SystemError\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    checker = Checker(("bomb_of_a_test",))
    node, _ = checker.value(Any, {"_target_": "bomb_of_a_test.bomb", "x": 3}, "x")
    assert checker.faults == []
    with pytest.raises(SystemError):
        build(node)


# trust


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("os.system", "not trusted; if you trust that package, add --trust os"),
        ("sgdtheory_of_somebody.Thing", "--trust sgdtheory_of_somebody"),
        (
            "sgdtheory.commandline.schema.TypeAdapter",
            "is nothing that a configuration builds; did you mean",
        ),
        ("sgdtheory.rng.stream.__globals__", "is nothing that a configuration builds"),
        ("sgdtheory.runs.folder.os", "is nothing that a configuration builds"),
        ("sgdtheory.optim.sgd.SDG", "did you mean 'sgdtheory.optim.sgd.SGD'"),
        ("sgdtheory", "not the dotted name"),
        ("sgdtheory..schedule.Cosine", "not the dotted name"),
        ("sgdtheory.optim.schedule:", "not the dotted name"),
        ("../evil.py", "not the dotted name"),
        ("", "not the dotted name"),
        (None, "not the dotted name"),
        (["os.system"], "not the dotted name"),
    ],
)
def test_only_what_is_trusted_is_found(name: Any, says: str) -> None:
    checker = Checker()
    assert checker.resolve(name, "x") is None
    assert len(checker.faults) == 1 and says in checker.faults[0]


def test_what_a_trusted_module_merely_imports_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine_of_a_test.py").write_text(
        "from subprocess import run\nfrom json import dumps\ndef own(): pass\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    checker = Checker(("mine_of_a_test",))
    assert checker.resolve("mine_of_a_test:own", "x") is not None
    assert checker.resolve("mine_of_a_test.run", "x") is None
    assert "lives in 'subprocess'" in checker.faults[0]
    assert Checker(("mine_of_a_test", "json")).resolve("mine_of_a_test.dumps", "x") is not None


def test_a_module_that_fails_at_import_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_of_a_test.py").write_text("1 / 0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    checker = Checker(("broken_of_a_test",))
    assert checker.resolve("broken_of_a_test.own", "x") is None
    assert "ZeroDivisionError" in checker.faults[0]


def test_an_importable_is_resolved_under_the_same_rule() -> None:
    annotation = Annotated[Callable[..., Any], Importable]
    found, identity, faults = value(annotation, "sgdtheory.optim.schedule:Cosine")
    assert (found, identity, faults) == (Cosine, "sgdtheory.optim.schedule:Cosine", [])
    assert "--trust os" in value(annotation, "os:system")[2][0]


# whatever is typed is a task or a mistake

KEYS = [
    "minima", "seed", "dtype", "polish", "polish_steps", "threads", "run.name", "run.dir", "run", "executor.workers", "device",
    "sgd.steps", "sgd.batch_size", "sgd.learning_rate", "sgd.momentum", "sgd.nesterov", "sgd.sampling", "sgd.schedule", "sgd",
    "landscape.noise", "landscape.directions", "landscape.curvatures", "landscape.ambient", "landscape.condition",
    "landscape._target_", "schedule._target_", "schedule.share", "landscape", "schedule", "model", "model.width", "nothing",
    "executor", "diagnostic", "_target_", "defaults", "model@landscape", "landscape.deep.er",
]  # fmt: skip
NAMES = [
    "auto",
    "none",
    "ring",
    "quadratic",
    "cosine",
    "steps",
    "mlp",
    "epoch",
    "cpu",
    "float64",
    "sgdtheory.optim.schedule.Cosine",
]
SCALARS = st.one_of(
    st.integers(-3, 30).map(str),
    st.floats(-2, 30).map(str),
    st.sampled_from(
        [
            *NAMES,
            "null",
            "true",
            "nan",
            "inf",
            "''",
            "1e3",
            "${seed}",
            "${nothing}",
            "${model}",
            "a b",
            "???",
        ]
    ),
    st.text("abz_.-*0", min_size=1, max_size=6),
)
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3).map(lambda items: f"[{','.join(items)}]"),
    st.dictionaries(st.sampled_from(["a", "_target_"]), SCALARS, max_size=2).map(
        lambda items: "{" + ",".join(f"{key}:{item}" for key, item in items.items()) + "}"
    ),
)
OVERRIDES = st.one_of(
    st.tuples(st.sampled_from(["", "", "", "+", "++"]), st.sampled_from(KEYS), VALUES).map(
        lambda x: f"{x[0]}{x[1]}={x[2]}"
    ),
    st.sampled_from(KEYS).map(lambda key: f"~{key}"),
)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(words=st.lists(OVERRIDES, min_size=1, max_size=3))
def test_any_overrides_are_a_task_or_a_mistake(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tasks: list[Task] = []
    try:
        raised = launch("train", ["landscape=quadratic", *words], (), None, tasks.append)
    except UserError as mistake:
        raised = [mistake]
    assert len(tasks) + len(raised) == 1
    assert [
        fault
        for fault in raised
        if not isinstance(fault, UserError) or len(str(fault).splitlines()) not in (1, 2, 3)
    ] == []
    assert list(tmp_path.iterdir()) == []


def test_the_random_words_know_the_groups() -> None:
    assert {"landscape", "schedule", "model", "executor", "diagnostic"} <= set(groups()) & set(KEYS)
