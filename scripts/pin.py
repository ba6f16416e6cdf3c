"""Every number that small runs of all commands, studies, diagnostics and estimators give, to the
bit.

    python scripts/pin.py                 run all jobs and write tests/pinned.json
    python scripts/pin.py --check         run all jobs and name every number that differs
    python scripts/pin.py --check A B     only these jobs

A change that should move no number is made between two checks. Bits differ between processors and
versions of torch, numpy and scipy, so the file says where it was made; elsewhere write it anew
before the change. All jobs take some six minutes on one core.
"""

import argparse
import contextlib
import io
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = (
    "1"  # before torch is imported: a sum's order depends on the number of threads
)
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

PINNED = Path(__file__).resolve().parents[1] / "tests" / "pinned.json"
ALONE = "executor.workers=1 threads=1 device=cpu --quiet"
# no result: what a run cost, what it is called, and which files it read
OMITTED = {
    "seconds",
    "cpu_seconds",
    "version",
    "config_hash",
    "hash",
    "memory",
    "device",
    "date",
    "host",
    "path",
    "plots",
    "study",
    "files",
    "finished",
    "sha256",
    "scores",
}
ALL_DIAGNOSTICS = "diagnostic=[critical,noise,sharpness,spectrum]"
NETWORK_ESTIMATORS = (
    "estimator=[excess_loss,virial,fluctuation_dissipation,equipartition,noise_scale,hill]"
)
NORM_ESTIMATORS = (
    "estimator=[excess_loss,virial,fluctuation_dissipation,"
    "effective_rate,angular_update,noise_scale]"
)
SMALL_MLP = "model=mlp model.hidden=[8] data.test_share=0.8"
SMALL_CNN = "model=cnn model.width=2 model.depth=1 model.dense=8 data.test_share=0.9"
SMALL_RESNET = "model=resnet8 data.test_share=0.97"
BASELINES = "baselines.gradients=20 baselines.dense=5"
SMALL_CONNECT = f"autoneb.steps=10 autoneb.last_steps=10 {BASELINES}"
RELEASE = (
    "time=2 looks=2 replicas=3 quench.replicas=2 quench.relax=3 quench.most=20 "
    "quench.further=30 quench.sketch=8 "
    "quench.probes=4"
)
PATHS = (
    "pairs=3 trained=2 landscape.weight_decay=0.001 model.hidden=[4] data.test_share=0.8 "
    "sgd.steps=40 autoneb.steps=5 "
)
PATHS += "autoneb.last_steps=5"
EPOCHS = " ".join(
    f"{kind}.replicas=8 {kind}.precision=0.1 {kind}.steps=1500"
    for kind in ("epochs", "independent")
)

# By job, its commands; they share a folder, and {0} is the run directory of the first.
JOBS: dict[str, list[str]] = {
    "double_well": ["train landscape=double_well minima=2", "connect landscape=double_well"],
    "muller_brown": ["train landscape=muller_brown minima=3", "connect landscape=muller_brown"],
    "ring": ["train landscape=ring minima=2", "connect landscape=ring landscape.ambient=6"],
    "bent_valley": [
        "connect landscape=bent_valley method=string_sampling",
        "train landscape=bent_valley minima=2",
    ],
    "linear_net": ["connect landscape=linear_net pairs=all", "train landscape=linear_net minima=2"],
    "spherical": [f"train landscape=spherical minima=2 {ALL_DIAGNOSTICS}"],
    "spiky": ["train landscape=spiky minima=2"],
    "mlp": [
        f"train {SMALL_MLP} minima=2 sgd.steps=60 snapshots=2 {ALL_DIAGNOSTICS}",
        f"connect {SMALL_MLP} {SMALL_CONNECT} {ALL_DIAGNOSTICS}",
        f"connect {SMALL_MLP} {BASELINES} autoneb=draxler autoneb.scale=0.002 "
        f"autoneb.batch_size=64 pairs=[[0,1]] plane=0",
        f"connect {SMALL_MLP} {SMALL_CONNECT} method=string_sampling strings.above=0.05 "
        f"strings.steps=40 plane=0",
        f"diagnose {SMALL_MLP} minima={{0}} {ALL_DIAGNOSTICS} dtype=float64",
        "sweep-temperature minima={0} sweep.batch_size=[16,32] precision=0.2 replicas=4 steps=300",
    ],
    "cnn": [
        f"train {SMALL_CNN} minima=2 sgd.steps=12 sgd.sampling=epoch polish=descent polish_steps=5",
        f"connect {SMALL_CNN} {SMALL_CONNECT}",
        f"diagnose {SMALL_CNN} minima={{0}} {ALL_DIAGNOSTICS} diagnostic.noise.draws=16 "
        "diagnostic.noise.dense=100 diagnostic.spectrum.probes=2 diagnostic.spectrum.steps=20",
    ],
    "resnet8": [
        f"train {SMALL_RESNET} minima=2 sgd.steps=4 sgd.batch_size=32",
        f"connect {SMALL_RESNET} autoneb.steps=2 autoneb.last_steps=2 autoneb.retries=0 "
        f"baselines.gradients=4 "
        "baselines.dense=3 plane=0 autoneb.batch_size=32",
        f"sweep-temperature minima={{0}} sweep.learning_rate=[0.25] "
        f"sweep.batch_size=[16] replicas=2 steps=100 precision=0.5 {NORM_ESTIMATORS}",
    ],
    "sweep_quadratic": [
        f"sweep-temperature landscape=quadratic landscape.directions=3 "
        f"sweep.batch_size=[8,16] precision=0.1 {estimators}"
        for estimators in (
            NETWORK_ESTIMATORS,
            "landscape.noise_anisotropy=10 replicas=8 momentum=0.5",
        )
    ],
    "sweep_linear": [
        f"sweep-temperature sweep.batch_size=[16,32] sweep.learning_rate=[0.25,0.5] "
        f"precision=0.2 replicas=8 steps=600 {words}"
        for words in (NETWORK_ESTIMATORS, "sampling=epoch sweep.learning_rate=[0.25]")
    ],
    "sweep_regression": [
        "sweep-temperature landscape=linear_regression sweep.batch_size=[16] "
        "sweep.learning_rate=[0.05] "
        "precision=0.2 steps=400 sampling=without_replacement"
    ],
    "adam_temperature": [
        "study adam_temperature replicas=64 steps=200 sweep.sweep.learning_rate=[0.002] "
        "sweep.sweep.batch_size=[16,32] sweep.precision=0.5 sweep.replicas=4 sweep.steps=400"
    ],
    "autoneb_reliability": [
        "study autoneb_reliability networks=[mlp,mobilenet] pairs=1 data.limit=200 "
        "recipes.mlp.landscape.model.hidden=[8] recipes.mlp.sgd.steps=100 "
        "recipes.mobilenet.landscape.model.width=2 recipes.mobilenet.sgd.steps=20 "
        "recipes.mobilenet.sgd.batch_size=32 ways.autoneb.method.steps=4 "
        "ways.autoneb.method.last_steps=4 ways.autoneb.method.retries=0 "
        "ways.evaluated.autoneb.steps=4 ways.evaluated.autoneb.last_steps=4 "
        "ways.evaluated_draxler.autoneb.scale=0.001 ways.bezier_1.gradients=20 "
        "ways.bezier_2.gradients=20 ways.bezier_3.gradients=20 ways.chain.gradients=20 "
        "ways.string.method.steps=40 ways.string.method.above=0.3"
    ],
    "collapse": [
        "study collapse systems.regression.replicas=50 systems.regression.steps=60 "
        "systems.regression.learning_rates=[0.9,1.04] systems.walk.replicas=200 "
        "systems.walk.batch_sizes=[1,32] systems.walk.steps=60 systems.widths.steps=60 "
        "systems.widths.learning_rates=[1.0,2.0] systems.units.steps=60 "
        "systems.units.batch_sizes=[16,64]"
    ],
    "compensation": [
        "study compensation pushed=2 landscapes.wide.model.hidden=[3] "
        "landscapes.narrow.model.hidden=[1] search_steps=400 "
        "steps=20 data.test_share=0.9 landscapes.wide.weight_decay=0.01 "
        "landscapes.narrow.weight_decay=0.01 deltas=[0.001,0.1]"
    ],
    "current": [
        "study current systems.ring.strengths=[0.0,0.1] systems.ring.replicas=200 "
        "systems.ring.sgd.steps=200 "
        "systems.ring.burn_in=50 systems.two_wells.strengths=[0.0,0.5] "
        "systems.two_wells.replicas=200 systems.two_wells.sgd.steps=200 "
        "systems.two_wells.burn_in=50 systems.regression.replicas=32 "
        "systems.regression.sgd.steps=100"
    ],
    "edge_of_stability": [
        "study edge_of_stability ~descents.descent_2 ~descents.heavy_ball ~descents.batches_8 "
        "~descents.batches_16 ~descents.batches_64 looks=4 draws=4 descents.descent_1.sgd.steps=20 "
        "descents.adam.sgd.steps=20 descents.sam.sgd.steps=20 descents.batches_32.sgd.steps=40 "
        "descents.cross_entropy.sgd.steps=8"
    ],
    "epoch_noise": [
        "study epoch_noise epochs.sweep.learning_rate=[0.25] epochs.sweep.batch_size=[64,128] "
        f"independent.sweep.learning_rate=[0.25] independent.sweep.batch_size=[64] {EPOCHS}"
    ],
    "escape": [
        "study escape batch_sizes=[1,2] replicas=200",
        "study escape batch_sizes=[1,2] replicas=50 sgd.steps=100",
    ],
    "flatness_against_temperature": [
        "study flatness_against_temperature learning_rates=[0.05,0.2] batch_sizes=[2,8] "
        "time=5 target=0.1 every=1 seeds=2 "
        "probes=4 sketch=4 polish_steps=5 model.hidden=[8] data.test_share=0.8"
    ],
    "free_energy": ["study free_energy clouds=2 replicas=4000 sgd.steps=300 moments=8"],
    "instability": [
        "study instability systems.bowl.pairs=100 systems.bowl.spawn=[0,50] systems.mlp.pairs=2 "
        "systems.mlp.spawn=[0,50] systems.mlp.sgd.steps=60 systems.mlp.dense=5"
    ],
    "learning_coefficient": [
        "study learning_coefficient ~systems.power_2 ~systems.power_6 ~systems.linear_5_3_2 "
        "~systems.linear_4_4_4 systems.linear_2_5_5_2.chains.steps=60 "
        "systems.linear_2_5_5_2.chains.burn_in=30 learning_rates=[0.4,0.8] widths=[4,8] "
        "polish_steps=50 "
        "chains.burn_in=20 chains.steps=40 systems.bowl.chains.steps=60 "
        "systems.bowl.chains.burn_in=30 "
        "systems.power_4.chains.steps=60 systems.power_4.chains.burn_in=30 "
        "systems.linear_3_3_3.chains.steps=60 systems.linear_3_3_3.chains.burn_in=30"
    ],
    "noise_along_path": [f"study noise_along_path {PATHS} points=5"],
    "one_point_convexity": [
        "study one_point_convexity runs.trained.steps=60 runs.untrained.steps=60 "
        "runs.annealed.steps=60 snapshots=5 seeds=2 "
        "model.hidden=[8] one_point.points=2 data.test_share=0.8"
    ],
    "potential": [
        "study potential systems.bowl.replicas=50 systems.bowl.learning_rates=[0.4] "
        "systems.bowl.batch_sizes=[1,16] systems.control.replicas=50 "
        "systems.control.learning_rates=[0.4] ~systems.wells systems.tilted.replicas=500 "
        "systems.tilted.sgd.steps=400 systems.tilted.burn_in=100 systems.tilted.spacing=100 "
        "systems.plane.replicas=500 systems.plane.sgd.steps=300 systems.plane.burn_in=100 "
        "systems.softmax.replicas=50 systems.softmax.burn_in=0.1 systems.softmax.looks=2 "
        "systems.softmax.moments=3 systems.softmax.directions=4 data.limit=100"
    ],
    "release_from_path": [f"study release_from_path {PATHS} {RELEASE}"],
    "saddles": [
        "study saddles hidden=2 weight_decays=[0.03] snapshots=[30] sgd.steps=30 "
        "search.iterations=40 "
        "data.test_share=0.8"
    ],
    "small_batch_flat_minima": [
        "study small_batch_flat_minima sgd.steps=60 target=0.3 every=1 "
        "descent.learning_rate=0.05 seeds=2 "
        "recipes.adam.sgd.steps=60 recipes.fixed_epochs.epochs=2 data.test_share=0.8 "
        "also.sharpness_subspace.subspace=4 "
        "also.sharpness_subspace_half.subspace=4 also.sharpness_subspace.draws=2 "
        "also.sharpness_subspace_half.draws=2"
    ],
    "smoothing": [
        "study smoothing stochastic=[0.25,0.35,0.5,0.75] smoothed=[0.98,1.02] "
        "replicas=50 seeds=2 sgd.steps=300"
    ],
    "string_sampling": [
        "study string_sampling thresholds={quadratic:[3.0,0.1],cubic:[3.0,0.1],text:[3.2,2.6]} "
        "pairs={quadratic:2,cubic:2,text:2} sgd.steps=200 landscapes.text.data.train=16 "
        "landscapes.text.model.hidden=4"
    ],
    "width_and_barriers": [
        "study width_and_barriers hidden=[[2],[8],[32],[8,8]] trained=4 kept=2 sgd.steps=60 "
        "autoneb.steps=5 "
        "autoneb.last_steps=5 autoneb.retries=0 data.test_share=0.8"
    ],
}
# for the test suite
QUICK = (
    "double_well",
    "linear_net",
    "free_energy",
    "smoothing",
    "escape",
    "string_sampling",
)


def machine() -> dict[str, str]:
    """What bits depend on."""
    import numpy
    import scipy
    import torch

    lines = (
        Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if Path("/proc/cpuinfo").exists()
        else []
    )
    model = [
        line.split(":", 1)[1].strip()
        for line in lines
        if line.startswith(("model name", "model\t"))
    ]
    versions = {each.__name__: each.__version__ for each in (torch, numpy, scipy)}
    return versions | {"processor": " ".join(model[:2]) or platform.processor()}


def numbers(tree: Any) -> Any:
    """A results.json without its words: numbers, truth values and nulls at their places; None where
    none are left."""
    if isinstance(tree, dict):
        kept = {
            key: numbers(value)
            for key, value in tree.items()
            if key not in OMITTED and not isinstance(value, str)
        }
        return kept or None
    if isinstance(tree, list):
        return [numbers(value) for value in tree if not isinstance(value, str)]
    return tree if isinstance(tree, bool | int) or tree is None else repr(float(tree))


def by_name(results: dict[str, Any]) -> dict[str, Any]:
    """Claims under their names instead of by their position."""
    return {**results, "claims": {claim["name"]: claim for claim in results["claims"]}}


def run_command(words: str) -> Path:
    """Run one command line in this process and working directory; gives its run directory."""
    from sgdtheory.cli import main

    out, err, argv, path = io.StringIO(), io.StringIO(), sys.argv, [*sys.path]
    sys.argv = ["sgdtheory", *words.split(), *ALONE.split()]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as stop:
        if stop.code not in (0, None):
            raise RuntimeError(
                f"sgdtheory {words}: exit {stop.code}\n{err.getvalue()}{out.getvalue()}"
            ) from None
    finally:
        sys.argv, sys.path[:] = argv, path
    return Path(out.getvalue().splitlines()[-1].removeprefix("report: ")).parent


def run_job(commands: list[str]) -> dict[str, Any]:
    """The numbers of a job's commands, by position and command, run in an empty folder."""
    before, runs, found = Path.cwd(), [], {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for position, command in enumerate(commands):
                runs.append(run_command(command.replace("{0}", str(runs[0]) if runs else "")))
                results = json.loads((runs[-1] / "results.json").read_text(encoding="utf-8"))
                found[f"{position} {command.split()[0]}"] = numbers(by_name(results))
        finally:
            os.chdir(before)
    return found


def differences(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """A line for every number that is not the same, by its place in results.json."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            yield from differences(
                before.get(key, "absent"), after.get(key, "absent"), f"{place}/{key}"
            )
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for position, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from differences(old, new, f"{place}/{position}")
    elif before != after or isinstance(before, bool) is not isinstance(after, bool):
        yield f"{place}: {short(before)} → {short(after)}"


def short(value: Any) -> str:
    return f"{len(value)} rows" if isinstance(value, list) else str(value)[:80]


def pinned() -> dict[str, Any]:
    return dict(json.loads(PINNED.read_text(encoding="utf-8")))


def write(jobs: dict[str, Any]) -> None:
    """One line a job, so that a change shows which it touches."""
    head = json.dumps(machine())
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(found)}" for name, found in jobs.items())
    PINNED.write_text(f'{{"machine": {head},\n"jobs": {{\n{lines}\n}}}}\n', encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing, name what differs")
    parser.add_argument("job", nargs="*", metavar="JOB", help="all by default")
    words = parser.parse_args()
    if unknown := set(words.job).difference(JOBS):
        parser.error(f"no job: {', '.join(unknown)}; there are {', '.join(JOBS)}")
    check, names = words.check, words.job or list(JOBS)
    known = pinned() if PINNED.exists() else {"machine": machine(), "jobs": {}}
    if check and known["machine"] != machine():
        print(f"made on {known['machine']}, this is {machine()}: bits may differ")
    total, found = 0, dict(known["jobs"]) if names != list(JOBS) else {}
    for name in names:
        clock = time.process_time()
        found[name] = run_job(JOBS[name])
        spent = time.process_time() - clock
        if not check:
            print(f"{name}: {spent:.1f} s of CPU", flush=True)
            write(found)
            continue
        lines = list(differences(known["jobs"].get(name, "absent"), found[name], name))
        total += len(lines)
        print(
            f"{name}: {len(lines) or 'no'} differences ({spent:.1f} s of CPU)",
            *lines,
            sep="\n  ",
            flush=True,
        )
    return int(total > 0)


if __name__ == "__main__":
    sys.exit(main())
