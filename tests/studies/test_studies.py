"""The studies from end to end on small budgets; their verdicts can go either way."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from sgdtheory.report.figures.figure import RunData
from sgdtheory.report.figures.plots import plots
from sgdtheory.rng import stream
from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.ranks import ranked_above
from sgdtheory.statistics.trends import higher, mean_above, ratio, rises
from sgdtheory.studies import width_and_barriers as widths
from tests.studies.asked import Command, results

STRINGS = [
    "~landscapes.quadratic", "~landscapes.text", "thresholds={cubic:[3.0,0.1,0.01]}", "pairs={cubic:3}", "executor.workers=1",
]  # fmt: skip
WIDTHS = [
    "hidden=[[2],[8],[32],[8,8]]", "trained=6", "kept=2", "sgd.steps=600", "autoneb.steps=10", "autoneb.last_steps=10",
    "autoneb.retries=0", "executor.workers=1",
]  # fmt: skip


def test_strings_get_longer(sgdtheory: Command) -> None:
    path, found = results(sgdtheory, "string_sampling", *STRINGS)
    assert path.parent == Path("runs/study") and path.name.startswith("string_sampling-")
    rows = found["tables"]["lengths"]
    assert [row["threshold"] for row in rows] == [3.0, 0.1, 0.01] and all(
        row["found"] == 3 for row in rows
    )
    assert rows[0]["length_ratio"] == pytest.approx(1, abs=0.02) and rows[2]["length_ratio"] > 1.05
    assert rows[2]["beads"] > rows[1]["beads"] > rows[0]["beads"]
    assert all(row["highest_loss"] <= row["threshold"] for row in found["tables"]["strings"])
    assert [claim["name"] for claim in found["claims"]] == ["length_ratio", "cubic"]
    (figure,) = plots(RunData.read(path))
    assert figure.name == "strings" and len(figure.numbers) == 9
    assert "already done" in sgdtheory("study", "string_sampling", *STRINGS).err


def test_the_text_too_and_what_is_not_found_is_told(sgdtheory: Command) -> None:
    words = [
        "~landscapes.quadratic", "~landscapes.cubic", "thresholds={text:[3.2,2.0]}", "pairs={text:1}", "sgd.steps=40",
        "landscapes.text.data.train=16", "landscapes.text.model.hidden=4", "executor.workers=1",
    ]  # fmt: skip
    _, found = results(sgdtheory, "string_sampling", *words)
    first, last = found["tables"]["strings"]
    assert first["length_ratio"] == pytest.approx(1, abs=0.02)
    assert last["length_ratio"] is None and "came down to" in last["length_ratio_why"]
    assert [claim["holds"] for claim in found["claims"]] == [None, None]


def test_a_killed_unit_goes_on_to_the_same_bits(
    sgdtheory: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sgdtheory.paths.string_sampling import StringSampling

    _, whole = results(sgdtheory, "string_sampling", *STRINGS, "run.root=whole")
    grow, calls = StringSampling.grow, []

    def broken(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return grow(*arguments, **named)

    monkeypatch.setattr(StringSampling, "grow", broken)
    assert sgdtheory("study", "string_sampling", *STRINGS, "run.root=cut").code == 130
    _, found = results(sgdtheory, "string_sampling", *STRINGS, "run.root=cut")
    assert found["tables"] == whole["tables"]
    assert len(calls) == 3 + 7  # the two thresholds that were done are not done again


def test_widths_are_compared(sgdtheory: Command) -> None:
    path, found = results(sgdtheory, "width_and_barriers", *WIDTHS)
    rows = {row["hidden"]: row for row in found["tables"]["shapes"]}
    assert list(rows) == ["2", "8", "32", "8-8"]
    assert rows["2"]["excess"] > rows["32"]["excess"] and rows["2"]["lowest"] > rows["32"]["lowest"]
    assert rows["32"]["straight"] > rows["32"]["excess"] and rows["8"]["length_ratio"] > 1
    assert [claim["name"] for claim in found["claims"]] == ["excess", "straight", "depth"]
    (figure,) = plots(RunData.read(path))
    assert figure.name == "widths" and len(figure.numbers) == len(found["tables"]["paths"]) == 4


def test_of_few_examples_autoneb_takes_all(sgdtheory: Command) -> None:
    """Its mini-batches of 256 are more than there are; and after one step nothing is trained."""
    _, found = results(
        sgdtheory, "width_and_barriers", *WIDTHS, *FEW, "hidden=[[2],[8]]", "sgd.steps=1",
        "sgd.batch_size=32",
    )  # fmt: skip
    assert len(found["tables"]["paths"]) == 2
    assert {claim["holds"] for claim in found["claims"]} == {None}
    assert found["claims"][0]["statement"].startswith("cannot be said: networks are not trained")


# the command

FEW = ["data.limit=60"]  # examples; what is larger is refused before any unit is begun
BATCHES = {
    "width_and_barriers": "sgd.batch_size=128",
    "noise_along_path": "sgd.batch_size=128",
    "small_batch_flat_minima": "batch_sizes=144",
    "autoneb_reliability": "recipes.mlp.sgd.batch_size=128",
    "collapse": "batch_sizes=64",
}


def test_without_a_name_the_list_a_line_each(sgdtheory: Command) -> None:
    said = sgdtheory("study")
    title, *lines = said.out.splitlines()
    names = [line.split()[0] for line in lines]
    assert said.code == 0 and title.startswith("study NAME") and names == sorted(names)
    assert any(line.startswith("  string_sampling ") and "Freeman" in line for line in lines)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["string_samplin"], "did you mean 'string_sampling'"),
        (["seed=1"], "say which study"),
        (["string_sampling", "width_and_barriers"], "one study at a time"),
        (["string_sampling", "sgd.stesp=1"], "did you mean 'sgd.steps'"),
        (["string_sampling", "thresholds.text=[1,2]"], "falling"),
        (["string_sampling", "~pairs.text"], "pairs.text"),
        (["width_and_barriers", "kept=30"], "kept=30 is more than"),
        (["width_and_barriers", "model=cnn"], "use model=mlp"),
        *(([name, *FEW], told + " is more than the 60 training") for name, told in BATCHES.items()),
    ],
)
def test_mistakes_are_told_in_a_line(words: list[str], told: str, sgdtheory: Command) -> None:
    said = sgdtheory("study", *words)
    assert said.code == 2 and told in said.err and len(said.err.splitlines()) <= 3


def test_dry_run_and_the_configuration(sgdtheory: Command) -> None:
    assert "27 units" in sgdtheory("study", "string_sampling", "--dry-run").out
    assert "thresholds:" in sgdtheory("study", "string_sampling", "--cfg", "job").out


# verdicts


def test_what_rises_and_what_does_not() -> None:
    assert rises([[1, 1, 1], [1.2, 1.3, 1.25], [2.0, 2.2, 2.1]]) is True
    assert rises([[1, 1, 1], [1, 1, 1]]) is False
    assert rises([[2.0, 2.2, 2.1], [1, 1, 1]]) is False
    assert (
        rises([[1, 1, 1], [3.0, 3.1, 3.2], [1.5, 1.6, 1.55]]) is False
    )  # up at the end, but down on the way
    assert rises([[1.0], [2.0]]) is None
    assert rises([[1.0, 2.0, 3.0], [1.5, 1.9, 3.4]]) is None  # 0.27 ± 0.18


def test_differences_and_quotients_know_their_errors() -> None:
    assert higher(Measured(1.0, 0.1), Measured(0.5, 0.1)) is True
    assert higher(Measured(1.0, 0.4), Measured(0.5, 0.1)) is None
    assert higher(Measured(0.5, 0.1), Measured(1.0, 0.1)) is False
    assert higher(Measured(0.5), Measured(0.5)) is False
    assert higher(Measured.nothing("gone"), Measured(0.5, 0.1)) is None
    found = ratio(Measured(2.0, 0.2), Measured(4.0, 0.4), "")
    assert found.value == 0.5 and found.stderr == pytest.approx(0.5 * 0.1 * 2**0.5)
    assert ratio(Measured(2.0, 0.2), Measured(0.0, 0.4), "nothing there").why == "nothing there"


ALIKE = (0.9, 0.95, 1.0, 1.05, 1.1)  # times the mean: five paths


def paths(
    hidden: list[int], excess: float, straight: float, of_mean: Sequence[float] = ALIKE
) -> list[dict[str, Any]]:
    name = widths.name_of(hidden)
    found = []
    for x in of_mean:
        row = {"hidden": name, "straight": straight * x, "length_ratio": 1.5}
        found.append({**row, "excess": {"value": excess * x, "stderr": 0.0}})
    return found


def shape(
    hidden: list[int], excess: float, straight: float, of_mean: Sequence[float] = ALIKE
) -> dict[str, Any]:
    facts = {"hidden": widths.name_of(hidden), "parameters": 9, "lowest": 0.1, "highest_kept": 0.2}
    return widths.shape_row(hidden, facts, paths(hidden, excess, straight, of_mean))


@pytest.mark.parametrize(
    ("excesses", "lines", "holds"),
    [
        ([0.1, 0.05, 0.01], [2.0, 1.0, 0.5], [True, True]),
        ([0.1, 0.05, 0.03], [2.0, 1.0, 0.5], [False, True]),
        ([0.1, 0.05, 0.01], [0.5, 1.0, 2.0], [True, False]),
        ([0.1, 0.05, 0.0], [1.0, 1.0, 1.0], [True, None]),
        ([0.0, 0.0, 0.0], [2.0, 1.0, 0.5], [None, True]),
    ],
)
def test_the_claims_of_width_can_fail(
    excesses: list[float], lines: list[float], holds: list[bool | None]
) -> None:
    rows, joined = [], []
    for width, e, s in zip((2, 8, 32), excesses, lines, strict=True):
        rows.append(shape([width], e, s))
        joined += paths([width], e, s)
    claims = widths.claims_of(rows, joined)
    assert [claim.holds for claim in claims] == holds
    assert all(claim.measured.why for claim in claims if claim.holds is None)


def test_three_widths_of_which_two_have_no_barrier() -> None:
    rows = [shape([2], 0.1, 1.0), shape([8], 0.05, 0.0), shape([32], 0.01, 0.0)]
    line = widths.claims_of(rows, [])[1]
    assert line.holds is None
    assert line.measured.why == "the straight line has no barrier at width 8, 32: 3 widths need one"
    single = [shape([width], 0.1, 1.0 / width, (1.0,)) for width in (2, 8, 32)]
    assert "raise kept" in widths.claims_of(single, [])[1].measured.why
    assert widths.claims_of(rows[:2], [])[1].measured.why == "a power law needs 3 widths"


def test_networks_that_are_not_trained_have_no_barriers_to_compare() -> None:
    rows, joined = [], []
    for width, excess in ((2, 0.1), (8, 0.05), (32, 0.01)):
        rows.append(shape([width], excess, 1.0 / width))
        joined += paths([width], excess, 1.0 / width)
    assert [claim.holds for claim in widths.claims_of(rows, joined)] == [True, True]
    rows[0]["untrained"] = "training loss 2.3, the best constant prediction has 2.3"
    found = widths.claims_of(rows, joined)
    assert [claim.holds for claim in found] == [None, None]
    assert found[0].statement.startswith("cannot be said: networks are not trained (hidden 2: ")
    assert all("raise sgd.steps" in claim.measured.why for claim in found)


def test_single_paths_and_few_do_not_say_what_depth_does() -> None:
    """A single path has no error; of three, two errors are Student's 4.5: 1 ± .06 and 1.4 ± .08."""
    for of_mean, holds in (((1.0,), None), ((0.9, 1.0, 1.1), None), (ALIKE, True)):
        rows = [shape([2], 0.1, 2.0), shape([8], 0.001, 1.0, of_mean)]
        claim = widths.claims_of([*rows, shape([8, 8], 0.001, 1.4, of_mean)], [])[-1]
        assert claim.holds is holds and (holds or claim.measured.why)


def test_barriers_about_nought_and_single_pairs_do_not_say_what_falls() -> None:
    """.0002 ± .0004 at the narrow and less at the wide; and one pair of each, however high."""
    for narrow, of_mean in ((0.0002, (-3, -1, 1, 3, 5)), (0.1, (1.0,))):
        rows, joined = [], []
        for width, excess in ((2, narrow), (8, 0.0001), (32, -0.0001)):
            rows.append(shape([width], excess, 1.0, of_mean))
            joined += paths([width], excess, 1.0, of_mean)
        excess_claim = widths.claims_of(rows, joined)[0]
        assert excess_claim.holds is None and excess_claim.measured.why


def test_ranks_say_what_a_few_high_ones_hide() -> None:
    """Six of which two carry the mean: by less than two of its errors above, and each above each."""
    high = [0.17, 0.003, 0.0033, 0.14, 0.017, 0.0085]
    low = [0.0, 0.0027, 0.0008, 0.0006, 0.0009, 0.0007]
    assert not higher(Measured.mean(high), Measured.mean(low))
    assert ranked_above(high, low) is True and ranked_above(low, high) is False
    assert ranked_above(high, [*low[:5], 0.2]) is True and ranked_above(high[:2], low[:2]) is None
    assert ranked_above([], low) is None and ranked_above([0.0] * 9, [0.0] * 9) is None


def test_the_claim_of_depth_can_fail() -> None:
    wide = [shape([2], 0.1, 2.0), shape([8], 0.001, 1.0)]
    assert widths.claims_of([*wide, shape([8, 8], 0.001, 2.0)], [])[-1].holds is True
    assert widths.claims_of([*wide, shape([8, 8], 0.2, 2.0)], [])[-1].holds is False
    assert widths.claims_of([*wide, shape([8, 8], 0.001, 0.5)], [])[-1].holds is False
    for excess, line in ((0.001, 1.01), (0.0101, 2.0)):  # hardly higher; flat, or just not
        claim = widths.claims_of([*wide, shape([8, 8], excess, line)], [])[-1]
        assert claim.holds is None and claim.measured.why
    assert widths.claims_of(wide[:1], [])[0].holds is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("escape sgd=sam", "sgd: theory here is that of SGD, and this is SAM; use sgd=sgd"),
        ("free_energy sgd=adam", "theory here is that of SGD, and this is Adam"),
        ("smoothing schedule=cosine", "a constant learning rate, and Cosine changes it"),
        ("current schedule=cosine", "a constant learning rate, and Cosine changes it"),
        ("edge_of_stability schedule=cosine", "sgd.schedule: theory here is that of a constant"),
    ],
)
def test_descents_that_theory_is_not_about_are_refused(
    words: str, says: str, sgdtheory: Command
) -> None:
    """Their laws were held against SGD's, and refuted it."""
    said = sgdtheory("study", *words.split(), "--dry-run")
    assert said.code == 2 and says in said.err


@pytest.mark.parametrize("count", [2, 3, 5, 20])
def test_few_samples_of_noise_are_not_said_to_rise(count: int) -> None:
    """Each way as often as a Gaussian is beyond two errors, 2.3 %, within 4 errors of that share;
    by a Gaussian's two errors two samples were 14 % each way."""
    draws = 4000
    noise = torch.randn(draws, 2, count, generator=stream(0, "noise"), dtype=torch.float64)
    most = draws * 0.0228 + 4 * (draws * 0.0228) ** 0.5
    rising = [rises(pair) for pair in noise.tolist()]
    means = [Measured.mean(samples) for samples in noise[:, 0].tolist()]
    judged = [mean_above(mean, 0.0, "more", samples=count)[0] for mean in means]
    for verdicts in (rising, judged):
        assert 0 < verdicts.count(True) < most and 0 < verdicts.count(False) < most
