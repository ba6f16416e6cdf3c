"""What people type out of habit from other tools, and what it is called here: asked before the
spelling is.

A hint is put behind a message, as those of `faults.nearest` are; empty where no habit is known.

"""

import re
from math import ceil
from typing import NamedTuple

from sgdtheory.errors import fold


class Meaning(NamedTuple):
    """One thing under its many names (folded), and the keys that it may have here, the first that
    there is being meant."""

    names: str
    keys: tuple[str, ...]


def _in_loops(leaf: str) -> tuple[str, ...]:
    return (f"sweep.{leaf}", f"autoneb.{leaf}", f"sgd.{leaf}", leaf)


MEANINGS = (
    Meaning("lr eta learningrate stepsize baselr initlr lr0 rate", _in_loops("learning_rate")),
    Meaning("b bs batch batchsize minibatch trainbatchsize nbatch", _in_loops("batch_size")),
    Meaning(
        "steps nsteps numsteps maxsteps iterations iters iter niter maxiter numiter updates",
        _in_loops("steps"),
    ),
    Meaning("epochs epoch nepochs numepochs maxepochs nepoch", _in_loops("steps")),
    Meaning(
        "wd weightdecay l2 decay lambda lam l2reg reg regularization regularisation",
        ("landscape.weight_decay",),
    ),
    Meaning("momentum mom mu beta beta1", _in_loops("momentum")),
    Meaning("shuffle sampler sampling replacement", _in_loops("sampling")),
    Meaning("optimizer optimiser optim opt optimizername", ("sgd",)),
    Meaning("scheduler lrscheduler lrschedule sched lrdecay warmup warmupsteps", ("schedule",)),
    Meaning("dataset datasets dset ds dataname", ("data",)),
    Meaning("datapath datadir datasetpath imagefolder images", ("data.path", "data.root", "data")),
    Meaning(
        "limit ntrain maxsamples subset nsamples numsamples trainsize ndata",
        ("data.limit", "data.examples"),
    ),
    Meaning("aug augmentation augment transform transforms dataaug", ("data.augment",)),
    Meaning("net network arch architecture backbone nn modelname module", ("model",)),
    Meaning("loss criterion lossfn", ("landscape.loss",)),
    Meaning("nminima numminima minimum nruns nmodels nummodels count", ("minima",)),
    Meaning(
        "checkpoint checkpoints ckpt ckpts weights pretrained resume load loadfrom", ("minima",)
    ),
    Meaning("nreplicas numreplicas walkers particles chains nchains copies", ("replicas",)),
    Meaning("gpu gpus cuda usecuda usegpu ngpu accelerator", ("device",)),
    Meaning(
        "j workers numworkers nworkers jobs njobs numjobs processes numprocesses procs nproc cores",
        ("executor.workers",),
    ),
    Meaning("nthreads numthreads ompnumthreads cpus ncpus", ("threads",)),
    Meaning(
        "o out output outdir outputdir dir savedir logdir save savepath resultsdir results "
        "folder expdir",
        ("run.dir",),
    ),
    Meaning("root runs rundir", ("run.root",)),
    Meaning("name runname expname experimentname tag id", ("run.name",)),
    Meaning("fp16 bf16 amp half fp64 double float64 float32 type", ("dtype",)),
    Meaning("seeds randomseed manualseed rng randomstate", ("seed",)),
    Meaning("diag diagnostics metric metrics", ("diagnostic",)),
)
FLAGS = {
    "--dry-run": "dryrun dry",
    "--verbose": "verbose",
    "--quiet": "quiet silent",
    "--trace": "debug trace traceback",
    "--trust PACKAGE": "trust",
    "--from FILE": "from config cfg",
    "--multirun": "multirun",
    "--config-dir DIR": "configdir",
    "--retry-failed": "retryfailed retry",
}
COMMANDS = {
    "sweep-temperature": "temperature sweep temp t",
    "connect": "path paths neb autoneb graph join modeconnectivity",
    "train": "fit run optimize optimise descend sgd learn",
    "study": "studies claim claims theory test",
    "status": "ls ps runs show",
    "report": "plot plots html compare draw",
    "list": "models data choices",
    "diagnose": "eval evaluate hessian spectrum score",
    "--help": "help",
    "--version": "version",
}
VALUES = (
    # the last part of a key, values that it does not take (folded), what is meant
    ("device", "gpu", "did you mean 'cuda'?"),
    ("device", "mps tpu xpu", "use cpu"),
    (
        "dtype",
        "bfloat16 bf16 float16 fp16 half amp mixed 16",
        "float32 is the coarsest in which barriers can be told",
    ),
    ("dtype", "double fp64 f64 64", "did you mean 'float64'?"),
    ("dtype", "single float fp32 f32 32", "did you mean 'float32'?"),
    ("threads", "all auto max", "leave it out: null is all the cores that this process may use"),
    ("workers", "all auto max", "leave it out: null is as many as there are cores"),
    ("batch_size", "full all fullbatch none", "null is the whole objective at every step"),
    ("sampling", "replacement withreplacement random", "did you mean 'iid'?"),
    (
        "sampling",
        "shuffle shuffled reshuffle reshuffling randomreshuffling true",
        "did you mean 'epoch'?",
    ),
    ("loss", "ce nll xent softmax logloss", "did you mean 'cross_entropy'?"),
    ("loss", "l2 squared quadratic square", "did you mean 'mse'?"),
    ("augment", "true yes flip crop standard on", "did you mean 'crop_flip'?"),
    (
        "schedule",
        "cosine constant steps wsd warmup linear",
        "it is chosen as a group, without sgd.: schedule=cosine",
    ),
    ("scaling", "normalize normalise normalized zscore", "did you mean 'standard'?"),
)
# for training
EXAMPLES = {
    "digits": 1437,
    "cifar10": 50_000,
    "cifar100": 50_000,
    "mnist": 60_000,
    "fashion_mnist": 60_000,
}
LOOP = ("learning_rate", "batch_size", "momentum", "sampling")


def meant(key: str, keys: list[str], value: str = "", tree: object = None) -> str:
    """A hint at the key that is meant by one that is not there, or that nothing reads; `keys` are
    those that there are.

    `value`: what was to be set, `tree`: what the other words compose to, for hints that need a
    number.
    """
    folder, _, leaf = key.rpartition(".")
    name = fold(leaf)
    for names, places in MEANINGS:
        if name not in names.split():
            continue
        own = f"{folder}.{places[0].rpartition('.')[2]}"
        there = [place for place in (*places[:1], own, *places) if place in keys and place != key]
        root = places[0].partition(".")[0]
        if not there and root in keys and root != places[0]:
            it = "it" if key == places[0] else places[0]
            return f"; {it} is a key of another {root}= than this"
        if not there:
            continue
        if "epochs" in names.split():
            return _in_steps(there[0], value, tree)
        return _written(there[0], value)
    flag = next((flag for flag, names in FLAGS.items() if name in names.split()), None)
    return f"; that is a flag: {flag}" if flag and not folder else ""


def _written(key: str, value: str) -> str:
    """A key, and what is to be said of its value where that is not all."""
    if key == "device":
        number = f":{value}" if value.isdigit() else ""
        return (
            "; did you mean 'device=cpu'?"
            if value.lower() in ("false", "no", "none")
            else f"; did you mean 'device=cuda{number}'?"
        )
    if key == "sgd":
        return "; the optimiser is a group: sgd=, with sgd.learning_rate, sgd.momentum, …"
    return f"; did you mean {key!r}?"


def _in_steps(key: str, value: str, tree: object) -> str:
    """Epochs as mini-batches, with the number where the data set's is known."""
    hint = f"; {key} counts mini-batches: epochs × N/b"
    count, size = _examples(tree), _at(tree, f"{key.rpartition('.')[0]}.batch_size")
    if not value.isdigit() or not count or not isinstance(size, int):
        return hint
    epochs = int(value)
    steps = ceil(epochs * count / size)
    return f"{hint}, here {epochs} × {count:,}/{size}: {key}={steps}"


def _examples(tree: object) -> int | None:
    """How many training examples a composed tree's data set has; None where it would have to be
    read."""
    data = _at(tree, "data") or {}
    if _at(tree, "landscape.data") != "${data}" or not isinstance(data, dict):
        return None
    name = data.get("name") or str(data.get("_target_")).rpartition(".")[2]
    count = EXAMPLES.get(str(name))
    limit = data.get("limit")
    is_usual = data.get("test_share", 0.2) == 0.2 and isinstance(limit, int | None)
    if count is None or not is_usual:
        return None
    return min(count, limit) if limit else count


def _at(tree: object, key: str) -> object:
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


def value_meant(leaf: str, value: object) -> str:
    """A hint at the value that is meant by one that a key does not take."""
    word = fold(str(value))
    for key, words, advice in VALUES:
        if key == leaf and word in words.split():
            return f"; {advice}"
    number = re.fullmatch(r"(?:gpu|cuda)?[:\W_]*(\d+)", str(value).lower())
    if leaf == "device" and number is not None:
        return f"; did you mean 'cuda:{number[1]}'?"
    return ""


def group_meant(group: str, keys: list[str]) -> str:
    """A hint where a command has no such group to choose from: whose settings its loops have
    instead."""
    if group == "sgd":
        loops = dict.fromkeys(
            key.rpartition(".")[0] for key in keys if key.endswith(".learning_rate")
        )
        named = [f"{loop}.{leaf}" for loop in loops for leaf in LOOP if f"{loop}.{leaf}" in keys]
        if named:
            return f"; its descents are set by {', '.join(named)}"
    return "; leave it out"


def command_meant(word: str, commands: list[str]) -> str:
    """The command that is meant by a word that is none; empty where no habit is known."""
    names = {name: command for command, all_names in COMMANDS.items() for name in all_names.split()}
    found = names.get(fold(word), "")
    return found if found in commands or found.startswith("--") else ""
