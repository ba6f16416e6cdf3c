"""`--help`, `list` and `--cfg job`: what a user reads before anything is run."""

import re
from pathlib import Path

import pytest
import yaml

from sgdtheory.commandline.choices import listing
from sgdtheory.commandline.choices_meant import CHOICES
from sgdtheory.commandline.comments import comments_of, headings, with_comments
from sgdtheory.commandline.composer import ConfigComposer, groups
from sgdtheory.commandline.running import show_choices
from sgdtheory.commandline.shown import GIVEN, comments_for
from sgdtheory.commandline.targets import CONFIGS
from sgdtheory.commandline.texts import LISTING, PIPELINES
from tests.conftest import Command

TEXTS = PIPELINES | {"list": LISTING}
THEORY = Path(__file__).parents[2] / "docs" / "theory.md"


@pytest.mark.parametrize("name", TEXTS)
def test_help_shows_examples_and_keys(name: str, sgdtheory: Command) -> None:
    said = sgdtheory(name, "--help")
    shown = " ".join(said.out.split())
    for example in TEXTS[name].examples:
        assert f"# {example.purpose} sgdtheory {example.line}" in shown
    assert " ".join(TEXTS[name].keys.split()) in shown  # brackets are no markup


# sgdtheory list


def test_the_list_has_every_choice_in_a_line(sgdtheory: Command) -> None:
    lines = sgdtheory("list").out.splitlines()
    names = [line.split()[0] for line in lines if line.startswith("  ")]
    assert sorted(names) == sorted(name for choices in groups().values() for name in choices)
    assert all(len(line.split()) > 1 for line in lines if line)


def test_on_a_terminal_the_list_is_folded_below_what_it_says() -> None:
    """80 columns hold it, nothing is lost, and names stand alone on the left; a pipe has it
    whole."""
    whole = listing()
    folded = listing(width=80)
    assert max(map(len, folded.splitlines())) <= 80
    assert folded.split() == whole.split()
    for name, choices in groups().items():
        lines = listing(name, 80).splitlines()
        began = [line.split()[0] for line in lines if re.match(r"  \S", line)]
        assert began == choices
        indent = max(map(len, choices)) + 4
        rest = [line for line in lines[1:] if not re.match(r"  \S", line)]
        assert all(line.startswith(" " * indent) and line[indent] != " " for line in rest)


def test_what_is_no_terminal_gets_lines_that_are_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    show_choices("model")
    assert capsys.readouterr().out == listing("model") + "\n"
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    show_choices("model")
    assert capsys.readouterr().out == listing("model", 60) + "\n"


@pytest.mark.parametrize(
    ("word", "heading"),
    [
        ("model", "model=…"),
        ("models", "model=…"),
        ("optimizers", "sgd=…"),
        ("losses", "loss=…"),
        ("dataset", "data=…"),
        ("diagnostics", "diagnostic=[…]"),
        ("study", "study NAME"),
    ],
)
def test_a_group_is_known_by_its_usual_names(word: str, heading: str, sgdtheory: Command) -> None:
    said = sgdtheory("list", word)
    assert said.code == 0 and said.out.startswith(f"{heading}  (")


def test_a_group_that_there_is_not(sgdtheory: Command) -> None:
    said = sgdtheory("list", "landscap")
    assert (
        said.code == 2
        and said.err == "list landscap: there is no such group; did you mean 'landscape'?\n"
    )


def test_studies_say_what_they_took(sgdtheory: Command) -> None:
    """As the page has it that `make figures` writes."""
    shown = sgdtheory("list", "study").out
    assert shown == sgdtheory("study").out
    sections = THEORY.read_text(encoding="utf-8").split("\n## ")[1:]
    found = 0
    for section in sections:
        study = re.search(r"^\$ sgdtheory study (\w+)", section, re.MULTILINE)
        spent = re.search(r"<sub>Seed \d+, (.+? of CPU time)", section)
        if study and spent:
            line = next(line for line in shown.splitlines() if line.split()[0] == study[1])
            assert line.endswith(f" · {spent[1]}")
            found += 1
    assert found >= 20


# comments


def test_comments_are_found_by_their_keys() -> None:
    text = (
        "# a heading\n# @package x\n# another\na: 1 # one\nb: [1,  # no end\n  2] # both\n"
        "c: 'it # is text'\nd: # of all\n  e: 2\n  f: {}  # empty\n  g: x#y\n"
    )
    assert headings(text) == ["a heading", "another"]
    assert comments_of(text) == {
        "a": "one",
        "b": "both",
        "c": "",
        "d": "of all",
        "d.e": "",
        "d.f": "empty",
        "d.g": "",
    }
    plain = "a: 1\nd:\n  e: 2\nl:\n- 1\n- 2\n"
    said = with_comments(plain, {"a": "one", "d": "of all", "d.e": "two", "l": "list"})
    assert said == "a: 1  # one\nd:  # of all\n  e: 2  # two\nl:  # list\n- 1\n- 2\n"
    assert with_comments("e: 2\n", {"d.e": "two"}, "d.") == "e: 2  # two\n"


@pytest.mark.parametrize(
    ("root", "words"),
    [
        ("train", ("diagnostic=[llc]", "landscape.weight_decay=0.1", "sgd.steps=30")),
        ("connect", ("autoneb=draxler",)),
        ("sweep_temperature", ()),
        ("study", ("study=collapse",)),
    ],
)
def test_cfg_job_is_the_configuration_with_comments(
    root: str, words: tuple[str, ...], sgdtheory: Command
) -> None:
    command = root.replace("_", "-")
    said = sgdtheory(command, *(word.removeprefix("study=") for word in words), "--cfg", "job")
    composed = ConfigComposer(root, None).compose(list(words))
    assert said.code == 0 and isinstance(composed, dict)
    shown = yaml.safe_load(said.out)
    assert shown == {key: composed[key] for key in shown}
    comments = comments_of(said.out)
    for key, comment in comments_for(root, list(words), None).items():
        if comment and key in comments:
            assert comments[key] == comment, key
    set_here = [word for word in words if word.split("=")[0] not in groups()]
    assert [key for key, said in comments.items() if said == GIVEN] == [
        word.split("=")[0] for word in sorted(set_here)
    ]


def test_a_comment_goes_with_its_value(sgdtheory: Command) -> None:
    """What one file says of its value is not said of another's."""
    hidden = comments_of((CONFIGS / "model" / "mlp.yaml").read_text(encoding="utf-8"))["hidden"]
    assert hidden
    lines = sgdtheory("study", "collapse", "--cfg", "job").out.splitlines()
    assert "  hidden:" in lines  # [32] of its own, not the MLP's usual layers
    one = sgdtheory("train", "model=mlp", "--cfg", "job", "--package", "model").out
    assert f"hidden:  # {hidden}" in one


# what people type


@pytest.mark.parametrize(("group", "choices"), CHOICES.items())
def test_habits_lead_to_what_there_is(group: str, choices: dict[str, str]) -> None:
    known = groups()[group]
    assert set(choices) <= set(known)
    words = [word for names in choices.values() for word in names.split()]
    assert len(words) == len(set(words)) and not set(words) & set(known)


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("train model=bert", "did you mean 'gpt'"),
        ("train schedule=linear", "did you mean 'cosine'"),
        ("diagnose minima=x diagnostic=[hessian]", "did you mean 'spectrum'"),
        ("sweep-temperature estimator=[temperature]", "did you mean 'excess_loss'"),
        ("connect a.pt", "did you mean 'minima=a.pt'"),
        ("diagnose best.ckpt", "did you mean 'minima=best.ckpt'"),
        ("train model", "`sgdtheory list model` says what there is"),
        ("models", "Did you mean 'list'"),
    ],
)
def test_what_people_type(line: str, hint: str, sgdtheory: Command) -> None:
    said = sgdtheory(*line.split())
    assert said.code == 2 and hint in said.err and len(said.err.splitlines()) == 1
