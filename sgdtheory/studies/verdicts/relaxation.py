"""How a cloud relaxes beside the Fokker–Planck equation: rows, claims and pictures of the study of the free energy."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from torch import Tensor

from sgdtheory.fokker_planck.density import Array, Binned
from sgdtheory.fokker_planck.generator import FokkerPlanck
from sgdtheory.fokker_planck.law import time_step
from sgdtheory.measured import Claim, Measured, Plot
from sgdtheory.sgd import SGD
from sgdtheory.studies.study import row_of

FAR = 0.02  # nats; below it a cloud of 10⁵ points says KL to a few per cent only
CLOSE = 0.05  # of KL to the equation's
DROP = 0.02  # of F to the equation's, in units of its whole drop
SIGMAS = 3.0  # by which F may rise from one look to the next
MOMENTS = 4  # at which the density itself is shown
AT_REST = 1e-3  # nats that a finite learning rate may leave: (ηh)²/16 of a harmonic well, 1e-4 here
Rows = list[dict[str, Any]]
Done = Sequence[Mapping[str, Tensor]]


def relaxation_rows(done: Done, reference: FokkerPlanck, start: tuple[float, float], steps: list[int], sgd: SGD) -> Rows:
    """One row a moment: KL and F of all clouds together, with errors, and the equation's."""
    if not done:
        return []
    counts = np.sum([each["counts"].numpy() for each in done], axis=0)  # [K, bins]
    energies = np.stack([each["free_energy"].numpy() for each in done])  # [clouds, K, 2]
    bins = counts.shape[1]
    p = reference.at(reference.uniform(*start), steps, time_step(sgd))  # [K, cells]
    coarse, steady = _coarse(p, bins), _coarse(reference.steady, bins)
    rows = []
    for k, step in enumerate(steps):
        cloud = Binned(counts[k], steady)
        exact = cloud.divergence_of(coarse[k])
        error = float(np.sqrt((energies[:, k, 1] ** 2).sum()) / len(done))
        free = Measured(float(energies[:, k, 0].mean()), error)
        facts = {"step": step, "time": step * time_step(sgd), "points": int(counts[k].sum()), "divergence_exact": exact}
        facts |= {"free_energy_exact": float(reference.free_energy(p[k])), "drop": _drop(reference, start)}
        rows.append(row_of(facts, divergence=cloud.divergence, free_energy=free))
    return rows


def density_rows(done: Done, reference: FokkerPlanck, start: tuple[float, float], steps: list[int], sgd: SGD) -> Rows:
    """The density at a few moments, two bins taken together, and the equation's."""
    if not done:
        return []
    counts = np.sum([each["counts"].numpy() for each in done], axis=0)
    bins = counts.shape[1] // 2
    chosen = sorted({round(k) for k in np.linspace(0, len(steps) - 1, MOMENTS)})
    p = _coarse(reference.at(reference.uniform(*start), [steps[k] for k in chosen], time_step(sgd)), bins)
    width = (reference.high - reference.low) / bins
    rows = []
    for shares, k in zip(p, chosen, strict=True):
        merged, points = _coarse(counts[k], bins), counts[k].sum()
        for i, (n, share) in enumerate(zip(merged, shares, strict=True)):
            density = Measured(float(n / points / width), float(np.sqrt(n) / points / width))
            facts = {"moment": f"t = {steps[k] * time_step(sgd):.3g}", "x": reference.low + (i + 0.5) * width}
            rows.append(row_of(facts | {"density_exact": float(share / width)}, density=density))
    return rows


def _drop(reference: FokkerPlanck, start: tuple[float, float]) -> float:
    return reference.diffusion * float(reference.divergence(reference.uniform(*start)))


def _coarse(p: Array, bins: int) -> Array:
    """Shares of bins [..., bins] from shares of cells [..., cells]."""
    found: Array = p.reshape(*p.shape[:-1], bins, -1).sum(-1)
    return found


def claims(rows: Rows) -> list[Claim]:
    """That KL follows the equation; that F does, and falls; and where both end."""
    if not rows:
        return [Claim("divergence", "no cloud is finished", Measured.nothing("no cloud is finished"), "", None)]
    return [_divergence(rows), _falling(rows), _free_energy(rows), _at_rest(rows)]


def _divergence(rows: Rows) -> Claim:
    expected = f"within {100 * CLOSE:g} % of Fokker–Planck's at every moment at which that is above {FAR:g}"
    far = [row for row in rows if row["divergence_exact"] > FAR]
    if not far:
        return Claim("divergence", "the cloud starts at rest", Measured.nothing(f"KL is never above {FAR:g}"), expected, None)
    worst = max(far, key=lambda row: abs(row["divergence"] / row["divergence_exact"] - 1))
    apart = abs(worst["divergence"] / worst["divergence_exact"] - 1)
    found = Measured(apart, worst["divergence_stderr"] / worst["divergence_exact"])
    words = (
        f"KL to the steady state falls from {rows[0]['divergence']:.2f} to {far[-1]['divergence']:.3f} within "
        f"{100 * apart:.1f} % of the Fokker–Planck equation's at {len(far)} moments, {rows[0]['points']:,} points"
    )
    return Claim("divergence", words, found, expected, apart < CLOSE)


def _falling(rows: Rows) -> Claim:
    """The highest rise of F, by S and by KL alike, in units of what it is allowed: 3 standard errors."""
    rises = [
        (after[name] - before[name]) / (SIGMAS * max(before[f"{name}_stderr"], after[f"{name}_stderr"]))
        for name in ("free_energy", "divergence")
        for before, after in pairwise(rows)
    ]
    highest = max(rises, default=0.0)
    falls = "falls from every moment to the next" if highest <= 0 else "falls, or rises by less than its error,"
    words = f"the free energy {falls if highest < 1 else 'rises in between'}, {len(rows)} moments"
    expected = f"no rise above {SIGMAS:g}·√(2KL/P + bins/2P²), here in that unit"
    return Claim("monotone", words, Measured(highest), expected, highest < 1)


def _free_energy(rows: Rows) -> Claim:
    worst = max(rows, key=lambda row: abs(row["free_energy"] - row["free_energy_exact"]))
    apart = abs(worst["free_energy"] - worst["free_energy_exact"]) / worst["drop"]
    found = Measured(apart, worst["free_energy_stderr"] / worst["drop"])
    words = f"F = E[Φ] − T·S, S from the spacing of the points, is within {100 * apart:.1f} % of its drop of the equation's"
    return Claim("free_energy", words, found, f"at most {DROP:g}, in units of the drop of F", apart < DROP)


def _at_rest(rows: Rows) -> Claim:
    last = rows[-1]
    found = Measured(last["divergence"] - last["divergence_exact"], last["divergence_stderr"], "nats")
    cloud, equation = last["divergence"], last["divergence_exact"]
    words = f"at the last moment the cloud is {cloud:.1e} nats from e^(−Φ/T), the equation {equation:.1e}"
    holds = abs(found.value or 0.0) < AT_REST + SIGMAS * last["divergence_stderr"]
    return Claim("steady_state", words, found, f"the same to {AT_REST:g} nats and three standard errors", holds)


PLOTS = [
    Plot(
        "divergence",
        "The cloud comes to rest as the Fokker–Planck equation says",
        "Distance KL(ρ‖ρ_ss) of SGD's cloud from the steady state against the time η·step: marks with one standard error, "
        "the histogram's bias subtracted; the line is the equation, solved to rounding, on the same bins. First the cloud "
        "fills the well it starts in, then it slowly crosses the barrier. Below about bins/P what is left is noise.",
        "relaxation", "time", ("divergence",), log="xy", theory=("divergence_exact",),
        labels={"time": "time", "divergence": "KL to the steady state, nats"},
    ),
    Plot(
        "free_energy",
        "The free energy falls",
        "F = E[Φ] − T·S of the cloud against time; S is Vasicek's estimate from the spacing of the points and knows nothing of "
        "the steady state. The line is F of the Fokker–Planck equation. Neither term falls by itself.",
        "relaxation", "time", ("free_energy",), log="x", theory=("free_energy_exact",),
        labels={"time": "time", "free_energy": "F = E[Φ] − T·S"},
    ),
    Plot(
        "densities",
        "The cloud at a few moments",
        "Density of the points (marks) and of the Fokker–Planck equation (lines), from just after the start, in one well, to "
        "the steady state e^(−Φ/T)/Z, in both.",
        "densities", "x", ("density",), by="moment", theory=("density_exact",), labels={"x": "θ", "density": "density"},
    ),
]  # fmt: skip
