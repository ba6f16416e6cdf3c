"""Numbers with error bars."""

import numpy as np
import pytest

from sgdtheory.statistics.bootstrap import bootstrap
from sgdtheory.statistics.measured import Measured


def test_the_error_of_a_mean_is_s_over_root_n() -> None:
    mean = Measured.mean([1.0, 2.0, 3.0, 4.0])
    assert mean.value == 2.5
    assert mean.stderr == pytest.approx(np.std([1, 2, 3, 4], ddof=1) / 2)


def test_intervals_of_the_bootstrap_cover() -> None:
    """Of 200 intervals of ±1.96 standard errors about 95 % hold the true mean: 190 ± 3.1, here
    within three of those."""
    generator = np.random.Generator(np.random.PCG64(0))
    held = 0
    for trial in range(200):
        sample = generator.exponential(size=100)
        found = bootstrap(lambda rows, sample=sample: float(sample[rows].mean()), 100, seed=trial)
        assert found.value is not None and found.stderr is not None
        held += abs(found.value - 1.0) < 1.96 * found.stderr
    assert 179 <= held <= 199


def test_no_number_says_why() -> None:
    assert Measured.nothing("no minimum is known").columns("T") == {
        "T": None,
        "T_why": "no minimum is known",
    }
    assert Measured.mean([float("nan")]).value is None
    assert Measured.mean([]).why == "no samples"


@pytest.mark.parametrize(
    ("measured", "text"),
    [
        (Measured(0.00267, 0.00011), "0.00267 ± 0.00011"),
        (Measured(1.234, 0.5), "1.23 ± 0.50"),
        (Measured(12.0, 3.0, "%"), "12.0 ± 3.0 %"),
        (Measured(0.25), "0.25"),
        (Measured.nothing("none"), "– (none)"),
    ],
)
def test_two_digits_of_the_error(measured: Measured, text: str) -> None:
    assert str(measured) == text
