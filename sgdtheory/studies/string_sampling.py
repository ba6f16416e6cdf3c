"""Minima are joined by nearly straight lines at high loss, and by ever longer ways as the loss falls."""

from dataclasses import dataclass
from typing import Any

import torch

from sgdtheory.estimate import estimate_stage
from sgdtheory.faults import Mistake
from sgdtheory.kinds import Count, Positive, Whole
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.measured import Results
from sgdtheory.paths.string_sampling import StringSampling
from sgdtheory.pipelines.train import Dtype
from sgdtheory.run import Estimate, Run, Unit, UnitFolder, stop_if_asked
from sgdtheory.streams import key, stream
from sgdtheory.studies.study import Subject
from sgdtheory.studies.verdicts.lengths import claims, mean_row, string_row


@dataclass(frozen=True)
class StringStudy:
    """Normalised length and beads of the strings between two points of loss ≤ L₀, against L₀ (Freeman & Bruna 2017).

    Claim (1611.01540, 4 and Table 1): strings are straight at high thresholds, so the landscape looks convex there; as L₀
    falls they grow longer and need more beads, for a regression and a recurrent network alike. Refuted by a length ratio
    away from 1 at the highest threshold, or one that falls with L₀.

    Both ends of a pair are trained from random points down to αL₀ (Algorithm 1, lines 2 and 3), on along the same two
    descents as L₀ falls. `pairs` and `thresholds` are those of each landscape, the latter falling, in
    units of its loss.
    """

    landscapes: dict[str, Landscape]
    thresholds: dict[str, list[Positive]]
    sampling: StringSampling
    pairs: dict[str, Count]
    dtype: Dtype = "float32"
    seed: Whole = 0

    def __post_init__(self) -> None:
        for name in self.landscapes:
            levels = self.thresholds.get(name, [])
            if not levels or sorted(set(levels), reverse=True) != levels:
                raise Mistake(f"thresholds.{name}: give at least one, falling, such as [1,0.3,0.1], not {levels}")
            if name not in self.pairs:
                raise Mistake(f"pairs.{name}: must be given: how many pairs of {name}")

    @property
    def landscape(self) -> Subject:
        titles = [getattr(landscape, "title", name) for name, landscape in self.landscapes.items()]
        return Subject(", ".join(titles))

    def units(self, run: Run) -> list[Unit]:
        return [Unit(f"{name}-{pair}", self._science(run, name, pair)) for name, pair in self._asked()]

    def _asked(self) -> list[tuple[str, int]]:
        return [(name, pair) for name in self.landscapes for pair in range(self.pairs[name])]

    def _science(self, run: Run, name: str, pair: int) -> dict[str, Any]:
        shared = {what: run.science[what] for what in ("_target_", "sampling", "dtype", "seed")}
        what = {"landscape": run.science["landscapes"][name], "thresholds": self.thresholds[name]}
        return {**shared, **what, "of": name, "pair": pair}

    def do(self, unit: Unit, folder: UnitFolder) -> None:
        name, levels = unit.science["of"], self.thresholds[unit.science["of"]]
        ends, rows, paths = self._start(name, unit.science["pair"]), [], {}
        for k, threshold in enumerate(levels):
            kept = folder.read_stamped(f"stage-threshold-{k}.safetensors")
            if kept is None:

                def watch(done: float = k / len(levels), threshold: float = threshold) -> None:
                    folder.tell(done, f"threshold {threshold:g}")
                    stop_if_asked()

                seed = key(self.seed, "string", name, unit.science["pair"], k)
                string = self.sampling.grow(self.landscapes[name], ends, threshold, seed, watch)
                kept = {"path": string.path}, {"row": string_row(threshold, string), "unit": unit.hash}
                folder.write_tensors(f"stage-threshold-{k}.safetensors", *kept)
            paths[f"threshold-{k}"] = kept[0]["path"]
            ends = paths[f"threshold-{k}"][[0, -1]].to(ends)
            rows.append(kept[1]["row"])
        folder.finish({"rows": rows}, paths)

    def _start(self, name: str, pair: int) -> Cloud:
        cloud: Cloud = self.landscapes[name].init(2, stream(self.seed, "init", name, pair))
        return cloud.to(getattr(torch, self.dtype))

    def finish(self, run: Run) -> Results:
        strings = []
        for name, pair in self._asked():
            found = run.result(Unit("", self._science(run, name, pair)))
            strings += [{"landscape": name, "pair": pair, **row} for row in (found or {"rows": []})["rows"]]
        levels = {name: self.thresholds[name] for name in self.landscapes}
        means = [mean_row(strings, name, threshold) for name in levels for threshold in levels[name]]
        return Results(claims(strings, levels, self.pairs), {}, {"tables": {"lengths": means, "strings": strings}})

    def estimate(self, unit: Unit) -> Estimate:
        """As two descents of all the steps that a bead may take, about what the strings of one pair cost: a mean over
        landscapes, for they cost very different."""
        starts = [(landscape, self._start(name, 0)) for name, landscape in self.landscapes.items()]
        sgd = self.sampling.sgd
        found = [estimate_stage(landscape, sgd.settled(landscape, start, 0), start) for landscape, start in starts]
        return Estimate(*(sum(numbers) / len(found) for numbers in zip(*found, strict=True)))
