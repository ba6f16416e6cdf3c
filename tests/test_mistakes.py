"""The user's mistakes: exit 2, one to three lines on stderr that name the word at fault, and nothing on disk."""

import os
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from sgdtheory.commandline.complaints import faults_of
from sgdtheory.commandline.composer import ConfigComposer
from sgdtheory.commandline.studies import studies
from sgdtheory.runs.folder import Folder
from tests.conftest import Command


class Wrong(NamedTuple):
    """A command line, and what its complaint must say: the word at fault, the nearest one that is right."""

    line: str
    says: tuple[str, ...]

    def __str__(self) -> str:
        return re.sub(r"\W+", "-", self.line).strip("-")


def wrong(line: str, *says: str) -> Wrong:
    return Wrong(line, says)


RING = "train landscape=ring "
NAMES = [
    wrong("train lanscape=ring", "lanscape=ring", "did you mean 'landscape'"),
    wrong("train landscape=rnig", "rnig", "did you mean 'ring'"),
    wrong("train model=resnt20", "resnt20", "did you mean 'resnet20'"),
    wrong("train schedule=cosin", "cosin", "did you mean 'cosine'"),
    wrong(
        "train experiment=draxler_resnet20_cifar11",
        "cifar11",
        "did you mean 'draxler_resnet20_cifar10'",
    ),
    wrong("train experiment=nope", "there is no experiment 'nope'", "draxler_cnn12_cifar10, "),
    wrong("train executor=slum", "there is no executor 'slum'", "slurm"),
    wrong("train diagnostic=[0.5]", "there is no diagnostic '0.5'"),
    wrong("train schedule=null", "there is no schedule 'null'", "cosine"),
    wrong("train diagnostic=[nope]", "there is no diagnostic 'nope'"),
    wrong(RING + "minma=2", "minma", "did you mean 'minima'"),
    wrong(RING + "sgd.stps=3", "sgd.stps", "did you mean 'sgd.steps'"),
    wrong(RING + "steps=3", "steps=3", "did you mean 'sgd.steps'"),
    wrong(RING + "landscape.hight=1", "landscape.hight", "did you mean 'landscape.height'"),
    wrong(
        RING + "sgd.stps=3 landscape.hight=1",
        "did you mean 'sgd.steps'",
        "did you mean 'landscape.height'",
    ),
    wrong(RING + "run.nme=x", "run.nme", "did you mean 'run.name'"),
    wrong(RING + "+typo=1", "typo", "did you mean 'dtype'"),
    wrong(RING + "+landscape.hight=1", "landscape.hight", "did you mean 'height'"),
    wrong(RING + "+minima=3", "+minima=3", "leave the + out"),
    wrong(RING + "~missing", "~missing"),
    wrong(RING + "~run", "run"),
    wrong("train ~model", "model"),
    wrong("train ~sgd.steps landscape=ring", "sgd.steps", "must be given"),
    wrong("train ~autoneb", "~autoneb", "no autoneb to leave out"),
    wrong("train ~model=cnn", "~model=cnn", "no model=cnn to leave out"),
    wrong("train sgd@x=adam", "sgd@x=adam", "did you mean 'sgd=adam'?"),
    wrong("train autoneb=fast", "autoneb=fast", "no autoneb= to choose; leave it out"),
    wrong("study escape model=mlp", "model=mlp", "no model= to choose; leave it out"),
    wrong(
        "study potential sgd=adam",
        "sgd=adam: this command chooses sgd in 3 places; name one of them: "
        "sgd@systems.plane.sgd=adam, ",
    ),
    wrong("study potential landscape=ring", "landscape in 6 places", "landscape=ring, …"),
    wrong("study current sgd@x=adam", "sgd@x=adam", "sgd@systems.ring.sgd=adam"),
    wrong("study potential ~sgd", "~sgd", "no sgd to leave out"),
    wrong(RING + "model=mlp", "nothing here reads 'model'"),
    wrong(RING + "data.augment=none", "nothing here reads 'data'"),
    wrong("train landscape.loss=mse loss=huber", "landscape.loss= is given too"),
    wrong(RING + "minima=${nope}", "nope"),
    wrong(RING + "device=${nope}", "nope"),
    wrong(RING + "run=${nope}", "nope"),
    wrong(RING + "minima=${oc.env:SGDTHEORY_NOPE}", "SGDTHEORY_NOPE"),
]
VALUES = [
    wrong(RING + "minima=many", "minima", "integer", "'many'"),
    wrong(RING + "minima=0", "minima", "1"),
    wrong(RING + "minima=2.5", "minima", "2.5"),
    wrong(RING + "minima=true", "minima", "true"),
    wrong(RING + "minima=[1,2]", "minima", "[1, 2]"),
    wrong(RING + "minima=1,2", "minima=1,2", "--multirun"),
    wrong(RING + "seed=null", "seed", "None"),
    wrong(RING + "seed=-1", "seed", "-1"),
    wrong(RING + "dtype=float16", "dtype", "float16", "float32, float64"),
    wrong(RING + "sgd.momentum=1", "sgd.momentum", "less than 1"),
    wrong(RING + "sgd.learning_rate=-0.1", "sgd.learning_rate", "greater than 0"),
    wrong(RING + "sgd.learning_rate=atuo", "sgd.learning_rate", "did you mean 'auto'"),
    wrong(RING + "sgd.learning_rate=inf", "sgd.learning_rate", "finite"),
    wrong(RING + "landscape.noise=nan", "landscape.noise", "finite"),
    wrong(RING + "landscape.noise=", "landscape.noise", "''"),
    wrong(RING + "sgd.nesterov=3", "sgd.nesterov", "3"),
    wrong(RING + "sgd.sampling=iidd", "sgd.sampling", "did you mean 'iid'"),
    wrong(RING + "sgd.sampling=epoch", "sgd.sampling=epoch", "iid"),
    wrong(RING + "sgd=3", "sgd=3"),
    wrong(RING + "run=x", "run", "run.root"),
    wrong(RING + "schedule=steps schedule.milestones=[0.5,3]", "schedule.milestones[1]", "not 3"),
    wrong(
        "train landscape=quadratic landscape.curvatures=[1,true]", "landscape.curvatures", "true"
    ),
    wrong("train landscape=quadratic landscape.curvatures=[1,-1]", "landscape.curvatures[1]", "-1"),
    wrong("train landscape=quadratic landscape.ambient=2", "ambient=2", "10"),
    wrong(RING + "executor.workers=0", "executor.workers", "0"),
    wrong(RING + "threads=0", "threads", "0"),
    wrong(RING + "run.root=null", "run.root"),
    wrong(RING + "device=gpu", "device", "'gpu'", "cuda"),
    wrong(RING + "device=meta", "device", "'meta'", "cpu"),
    wrong(RING + "landscape.device=gpu", "landscape.device", "'gpu'", "cuda"),
    wrong("train sgd.batch_size=5000", "sgd.batch_size=5000", "1,437"),
    wrong("train sgd.batch_size=null data.augment=crop_flip", "none of which is augmented"),
    wrong("sweep-temperature data.augment=crop_flip", "data.augment", "use none"),
    wrong("study potential data.augment=crop_flip", "data.augment", "use none"),
    wrong("study smoothing starts=[0.0,0.05]", "starts=[0,0.05]", "outside the radius"),
    wrong("study smoothing radius=2.4", "radius=2.4", "outside the radius"),
    wrong("study release_from_path data.augment=crop_flip", "data.augment", "use none"),
    wrong("study collapse data.augment=crop_flip", "data.augment", "use none"),
    wrong("study compensation data.augment=crop_flip", "data.augment", "use none"),
    wrong("study one_point_convexity data.augment=crop_flip", "data.augment", "use none"),
    wrong("study noise_along_path data.augment=crop_flip", "data.augment", "use none"),
    wrong("study saddles data.augment=crop_flip", "data.augment", "use none"),
    wrong("study flatness_against_temperature data.augment=crop_flip", "data.augment", "use none"),
    wrong("study small_batch_flat_minima data.augment=crop_flip", "data.augment", "use none"),
    wrong(
        "study edge_of_stability landscapes.digits.data.augment=crop_flip",
        "data.augment",
        "use none",
    ),
    wrong(
        "connect method=string_sampling strings.batch_size=null data.augment=crop_flip",
        "none of which is augmented",
    ),
    wrong("train model=resnet8 model.depth=9", "9"),
    wrong("train landscape.loss=mean", "landscape.loss", "mse"),
    wrong(
        "train model=mlp diagnostic=[spectrum] diagnostic.spectrum.parameters=nope",
        "diagnostic.spectrum.parameters=nope matches no parameter; there are layers.0.weight",
    ),
    wrong(
        "train diagnostic=[noise] diagnostic.noise.parameters=[bias,+]",
        "diagnostic.noise.parameters=+: no regular expression",
    ),
    wrong(
        RING + "diagnostic=[spectrum] diagnostic.spectrum.parameters=w",
        "diagnostic.spectrum.parameters=w: parameters of Ring have no names",
    ),
    wrong(
        "sweep-temperature landscape=quadratic diagnostic=[noise] diagnostic.noise.parameters=w",
        "diagnostic.noise.parameters=w: parameters of",
    ),
    wrong("train data=table data.path=x.csv data.tarjet=y", "data.tarjet", "'data.target'"),
]
OBJECTS = [
    wrong("train landscape._target_=os.system", "os.system", "--trust os"),
    wrong("train landscape._target_=sgdtheory.runs.folder.os.system", "sgdtheory.runs.folder.os"),
    wrong(
        "train landscape._target_=sgdtheory.commandline.schema.TypeAdapter",
        "nothing that a configuration builds",
    ),
    wrong("train landscape._target_=quadratic", "'quadratic'", "dotted name"),
    wrong("train landscape._target_=3", "3", "dotted name"),
    wrong("train landscape._target_=sgdtheory.landscapes.rnig.Ring", "sgdtheory.landscapes.rnig"),
    wrong(
        "train landscape._target_=sgdtheory.landscapes.ring.Rnig",
        "Rnig",
        "did you mean 'sgdtheory.landscapes.ring.Ring'",
    ),
    wrong(
        "train landscape._target_=sgdtheory.optim.schedule.Constant",
        "landscape: Constant is no Landscape",
    ),
    wrong(
        RING + "schedule._target_=sgdtheory.landscapes.ring.Ring", "schedule: Ring is no Schedule"
    ),
    wrong("train data._target_=sgdtheory.models.mlp.MLP", "data: MLP is no Examples"),
    wrong("train model._target_=sgdtheory.optim.schedule.Cosine", "model: Cosine is no Module"),
    wrong("train _target_=sgdtheory.optim.schedule.Constant", "Constant is no Pipeline"),
    wrong("train model=custom", "model.factory", "must be given"),
    wrong("train model=custom model.factory=mine.nets:make", "mine.nets:make", "--trust mine"),
    wrong("train model=custom model.factory=mine --trust json", "model.factory", "dotted name"),
    wrong("train model=custom model.factory=json.nope:make --trust json", "json.nope"),
    wrong(
        "train model=custom model.factory=json:dumsp --trust json", "dumsp", "did you mean 'dumps'"
    ),
    wrong(
        "train model=custom model.factory=json:detect_encoding --trust json",
        "json:detect_encoding",
        "shape= and classes=",
    ),
    wrong(RING + "--trust nowhere", "--trust nowhere", "no such package"),
    wrong("train --trust landscape=ring", "--trust landscape=ring"),
]
FILES = [
    wrong("train --from nope.yaml", "nope.yaml"),
    wrong("train --from torn.yaml", "torn.yaml"),
    wrong("train --from other.yaml", "other.yaml", "Connect", "not to train"),
    wrong("train --from number.yaml", "number.yaml"),
    wrong("train --from nothing.yaml", "nothing.yaml", "_target_"),
    wrong("train --from other.yaml experiment=draxler_cnn12_cifar10", "--from", "experiment="),
    wrong("train data=images", "data.path", "must be given"),
    wrong("train data=images data.path=nope.npz", "data.path", "nope.npz"),
    wrong("train data=images data.path=text.npz", "data.path=text.npz"),
    wrong("train data=images data.path=empty", "data.path=empty"),
    wrong(RING + "run.dir=empty/..", "holds something that is no run"),
    wrong(RING + "run.dir=taken", "taken", "holds another run", "run.dir"),
    wrong("status nope", "nope", "no such directory"),
    wrong("status empty", "empty", "no run is here"),
    wrong("report nope", "nope", "no run is here"),
    wrong("report empty nope", "no run is here"),
    wrong("report taken", "taken", "not finished"),
]
WORDS = [
    wrong("trian", "trian", "Did you mean 'train'"),
    wrong("train resnet20", "resnet20", "did you mean 'model=resnet20'"),
    wrong("train sgd.steps", "sgd.steps", "key=value"),
    wrong("train =3", "=3"),
    wrong("train ''", "''", "key=value"),
    wrong(RING + "minima=[1", "minima=[1", "cannot be read"),
    wrong("train landscape.parameters=^3", "recognition", """'landscape.parameters="^3"'"""),
    wrong("train landscape.parameters=(a|b)", "'(');", """'landscape.parameters="(a|b)"'"""),
    wrong(RING + "--form x", "--form", "did you mean '--from'"),
    wrong(RING + "--dryrun", "--dryrun", "did you mean '--dry-run'"),
    wrong(RING + "--mutlirun", "--mutlirun", "did you mean '--multirun'"),
    wrong(RING + "-x", "-x"),
    wrong(RING + "--from", "--from"),
    wrong(RING + "--trust", "--trust"),
    wrong(RING + "--cfg", "--cfg needs a value"),
    wrong(RING + "--cfg jop", "jop", "job"),
    wrong("train --config-dir -m minima=1,2", "--config-dir needs a value"),
    wrong(RING + "--config-dir nope", "--config-dir nope", "no such folder"),
    wrong("train -cn trian", "trian", "did you mean 'train'"),
    wrong("train -cn base", "_target_"),
    wrong("report", "RUN"),
    wrong("report a --outt b", "--out"),
    wrong("status --al", "--al"),
]
COLD = "sweep-temperature landscape=quadratic "
SWEEPS = [
    wrong(COLD + "replicas=1", "replicas", "2"),
    wrong(COLD + "sweep.learning_rate=[]", "sweep.learning_rate=[] is an empty grid"),
    wrong(COLD + "sweep.batch_size=[]", "sweep.batch_size=[] is an empty grid"),
    wrong(COLD + "sweep.batch_size=[8,8]", "sweep.batch_size=[8, 8] names a value twice"),
    wrong(COLD + "sweep.batch_size=[0]", "sweep.batch_size[0]", "0"),
    wrong(
        COLD + "sweep.learning_rate=[0.1,3.0]",
        "sweep.learning_rate=3",
        "stay below 2(1+momentum)/curvature = 2",
    ),
    wrong(
        COLD + "sweep.learning_rate=[0.1,3.9] momentum=0.9",
        "stay below 2(1+momentum)/curvature = 3.8",
    ),
    wrong(COLD + "sampling=epoch", "sampling=epoch needs examples", "iid"),
    wrong(COLD + "sgd.learning_rate=0.1", "sweep.learning_rate"),
    wrong(COLD + "at=[0.5]", "at: says where on a path", "connect run"),
    wrong(COLD + "at=[1.5] minima=nope", "nope"),
    wrong(COLD + "minima=nope", "minima=nope", "no such run or file"),
    wrong(
        "sweep-temperature sweep.batch_size=[2000]",
        "sweep.batch_size=2000 is more than the 1,437 training examples",
    ),
    wrong("sweep-temperature landscape.weight_decay=-1", "landscape.weight_decay", "-1"),
    wrong("sweep-temperature data.augment=crop_flip", "data.augment"),
]
QUAD = "train landscape=quadratic "
HABITS = [
    wrong(
        "train epochs=10",
        "sgd.steps counts mini-batches: epochs × N/b, here 10 × 1,437/128: sgd.steps=113",
    ),
    wrong("train epochs=100 data=cifar10 sgd.batch_size=64", "100 × 50,000/64: sgd.steps=78125"),
    wrong("train epochs=2 data.limit=128", "2 × 128/128: sgd.steps=2"),
    wrong(RING + "max_epochs=3", "sgd.steps counts mini-batches"),
    wrong("connect epochs=10", "autoneb.steps counts mini-batches"),
    wrong("train lr=0.1", "did you mean 'sgd.learning_rate'"),
    wrong("train sgd.lr=0.1", "did you mean 'sgd.learning_rate'"),
    wrong("connect lr=0.1", "did you mean 'autoneb.learning_rate'"),
    wrong("connect strings.lr=0.1", "did you mean 'strings.learning_rate'"),
    wrong(COLD + "lr=0.1", "did you mean 'sweep.learning_rate'"),
    wrong(COLD + "sweep.lr=0.1", "did you mean 'sweep.learning_rate'"),
    wrong(COLD + "sgd.lr=0.1", "did you mean 'sweep.learning_rate'"),
    wrong(COLD + "sweep.bs=8", "did you mean 'sweep.batch_size'"),
    wrong("train optimizer=adam", "the optimiser is a group: sgd="),
    wrong("train wd=0.1", "did you mean 'landscape.weight_decay'"),
    wrong("train weight_decay=0.1", "did you mean 'landscape.weight_decay'"),
    wrong(RING + "wd=0.1", "landscape.weight_decay is a key of another landscape="),
    wrong("train bs=32", "did you mean 'sgd.batch_size'"),
    wrong("train batch=32", "did you mean 'sgd.batch_size'"),
    wrong("train sgd.batch=32", "did you mean 'sgd.batch_size'"),
    wrong("connect batch_size=32", "did you mean 'autoneb.batch_size'"),
    wrong("train momentum=0.9", "did you mean 'sgd.momentum'"),
    wrong("train dataset=mnist", "did you mean 'data'"),
    wrong("train net=mlp", "did you mean 'model'"),
    wrong("train arch=mlp", "did you mean 'model'"),
    wrong("train n_minima=3", "did you mean 'minima'"),
    wrong("train num_minima=3", "did you mean 'minima'"),
    wrong(RING + "gpu=1", "did you mean 'device=cuda:1'"),
    wrong(RING + "cuda=true", "did you mean 'device=cuda'"),
    wrong(RING + "use_gpu=false", "did you mean 'device=cpu'"),
    wrong(RING + "device=gpu:0", "did you mean 'cuda:0'"),
    wrong(RING + "workers=2", "did you mean 'executor.workers'"),
    wrong(RING + "num_workers=2", "did you mean 'executor.workers'"),
    wrong(RING + "out=x", "did you mean 'run.dir'"),
    wrong(RING + "output_dir=x", "did you mean 'run.dir'"),
    wrong(RING + "dir=x", "did you mean 'run.dir'"),
    wrong(RING + "save_dir=x", "did you mean 'run.dir'"),
    wrong(RING + "verbose=true", "that is a flag: --verbose"),
    wrong(RING + "dry_run=true", "that is a flag: --dry-run"),
    wrong(RING + "trust=mine", "that is a flag: --trust PACKAGE"),
    wrong(RING + "foo.bar=3", "there is no key 'foo.bar'", "--cfg job"),
    wrong(RING + "threads=all", "threads", "all the cores"),
    wrong(RING + "dtype=bfloat16", "dtype", "float32"),
    wrong("connect dtype=bf16", "dtype", "float32 is the coarsest"),
    wrong(COLD + "dtype=half", "dtype", "float32 is the coarsest"),
    wrong(RING + "dtype=double", "did you mean 'float64'"),
    wrong("train landscape.loss=ce", "did you mean 'cross_entropy'"),
    wrong("train sgd.sampling=shuffle", "did you mean 'epoch'"),
    wrong("train data.augment=true", "did you mean 'crop_flip'"),
]
CHOICES = [
    wrong("train model=resnet21", "did you mean 'resnet20'"),
    wrong("train model=resnet-20", "did you mean 'resnet20'"),
    wrong("train model=ResNet20", "did you mean 'resnet20'"),
    wrong("train model=vgg16", "model=torchvision model.name=vgg16"),
    wrong("train model=ResNet-18", "model=torchvision model.name=resnet18"),
    wrong("train model=mynets:net", "model=custom model.factory=mynets:net --trust mynets"),
    wrong("train data=CIFAR10", "did you mean 'cifar10'"),
    wrong("train data=cifar", "did you mean 'cifar10'"),
    wrong("train data=FashionMNIST", "did you mean 'fashion_mnist'"),
    wrong("train data=./pictures", "data=images data.path=./pictures"),
    wrong("train data=imagenet", "data=images data.path="),
    wrong("train landscape=muller-brown", "did you mean 'muller_brown'"),
    wrong("study strng", "did you mean 'string_sampling'"),
    wrong("study zzz", "there are adam_temperature, ", "width_and_barriers"),
    wrong("sweep temperature", "Did you mean 'sweep-temperature'"),
    wrong("sweep_temperature", "Did you mean 'sweep-temperature'"),
    wrong("temperature", "Did you mean 'sweep-temperature'"),
    wrong("conect", "Did you mean 'connect'"),
    wrong("landscape=ring", "sgdtheory train landscape=ring"),
    wrong("connect landscape=ring baselines.dense=1", "baselines.dense", "2"),
    wrong("connect landscape=ring sgd.momentum=0.5", "sgd.momentum", "autoneb.momentum"),
    wrong("connect landscape=ring sgd.batch_size=5", "sgd.batch_size", "autoneb.batch_size"),
    wrong("connect landscape=ring sgd=adam", "sgd=adam: on a formula"),
    wrong(
        "connect landscape=ring sgd=adam method=string_sampling", "string_sampling descends by SGD"
    ),
    wrong("connect landscape=ring sgd=adamw", "sgd.decay", "sgd=adam"),
    wrong(COLD + "schedule=cosine", "this command has no schedule= to choose"),
]
DASHES = [
    wrong("train --steps 10", "--steps", "key=value", "'sgd.steps=10'"),
    wrong("train --lr 0.1", "--lr", "'sgd.learning_rate=0.1'"),
    wrong("connect --lr=0.1", "'autoneb.learning_rate=0.1'"),
    wrong("train --seed 3", "'seed=3'"),
    wrong("train --epochs 10", "sgd.steps=113"),
    wrong("train --model resnet20", "'model=resnet20'"),
    wrong("train --batch-size 32", "'sgd.batch_size=32'"),
    wrong("train -j 4", "'executor.workers=4'"),
    wrong("train -j4", "'executor.workers=4'"),
    wrong("train --gpu 0", "'device=cuda:0'"),
    wrong("train --output x", "'run.dir=x'"),
]
ALONE = [
    wrong(COLD + "sgd.learning_rate=0.1", "sgd.learning_rate is swept here", "sweep.learning_rate=[…]"),
    wrong(COLD + "sgd.batch_size=8", "sgd.batch_size is swept here", "sweep.batch_size=[…]"),
    wrong(COLD + "sgd=adamw", "sgd.decay beside the gradient", "sgd=adam", "sgd.decay=0"),
    wrong("sweep-temperature sgd=adam sampling=epoch", "sampling=epoch: the law η/2√b"),
    wrong("sweep-temperature model=resnet8 sgd=adam", "sgd=adam: with batch norm"),
    wrong(COLD + "sgd.nesterov=true", "sgd.nesterov: no law"),
    wrong(COLD + "sgd.momentum=1", "sgd.momentum", "less than 1"),
    wrong(COLD + "momentum=1", "momentum", "less than 1"),
    wrong(COLD + "sgd.momentum=0.9 momentum=0.5", "sgd.momentum", "momentum= is given too"),
    wrong(COLD + "sgd.steps=10", "sgd.steps", "100"),
    wrong(COLD + "sgd.sampling=epoch", "sampling=epoch needs examples"),
    wrong(COLD + "sweep.learning_rate=-0.1", "sweep.learning_rate", "-0.1"),
    wrong(COLD + "minima=[]", "minima", "an empty list names no file"),
    wrong("connect minima=[]", "minima", "an empty list names no file"),
    wrong("connect minima=3", "minima=3", "give a run, files of points, or a list of them"),
    wrong(RING + "sgd.schedule=cosine", "sgd.schedule", "schedule=cosine"),
    wrong("connect -cn train", "Train belongs to another command", "--config-name connect"),
    wrong("train -cn sweep_temperature", "belongs to another command"),
    wrong("train _target_=sgdtheory.pipelines.connect.Connect", "belongs to another command"),
    wrong(RING + "run.name=../../x", "run.name", "no plain name", "run.dir"),
    wrong(RING + "run.name=.hidden", "no plain name"),
    wrong("train data.limit=1", "all training images are of one class", "data.limit=1 is too small"),
    wrong("train data.limit=0", "data.limit", "1"),
    wrong("train data=images data.path=pipe.npz", "no ordinary file"),
    wrong("train data=images data.path=pictures", "pictures", "9.png is no ordinary file"),
    wrong("train data=cifar10 data.root=empty data.download=false", "not found whole", "any mirror", "data=images"),
    wrong("train model=custom model.factory=nets_of_a_test:needs_colour --trust nets_of_a_test",
          "model.factory=nets_of_a_test:needs_colour", "1×8×8", "takes three colours", "data="),
    wrong("train model=custom model.factory=nets_of_a_test:breaks --trust nets_of_a_test", "1×8×8", "ZeroDivisionError"),
    wrong("train --config-dir theirs experiment=bare", "bare.yaml", "# @package _global_"),
    wrong("sweep-temperature --config-dir theirs estimator=[bare]", "bare.yaml", "# @package estimator.bare"),
]  # fmt: skip
ALL = [*NAMES, *VALUES, *OBJECTS, *FILES, *WORDS, *SWEEPS, *HABITS, *CHOICES, *DASHES, *ALONE]


NETS = """
def needs_colour(shape, classes):
    if shape[0] != 3:
        raise ValueError("this network takes three colours")


def breaks(shape, classes):
    return 1 / 0
"""


@pytest.fixture
def someones_files(tmp_path: Path) -> set[Path]:
    """A working directory in which a user keeps this and that; what lies there afterwards must be the same."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.npz").write_text("no archive", encoding="utf-8")
    (tmp_path / "torn.yaml").write_text("minima: [1", encoding="utf-8")
    (tmp_path / "other.yaml").write_text(
        "_target_: sgdtheory.pipelines.connect.Connect\n", encoding="utf-8"
    )
    (tmp_path / "number.yaml").write_text("_target_: 3\n", encoding="utf-8")
    (tmp_path / "nothing.yaml").write_text("", encoding="utf-8")
    Folder(tmp_path / "taken").write_json(
        "manifest.json", {"command": "train", "config_hash": "0" * 64}
    )
    (tmp_path / "nets_of_a_test.py").write_text(NETS, encoding="utf-8")
    os.mkfifo(tmp_path / "pipe.npz")
    for folder in (
        "pictures/train/a",
        "pictures/train/b",
        "pictures/test/a",
        "pictures/test/b",
        "theirs/experiment",
    ):
        (tmp_path / folder).mkdir(parents=True)
    os.mkfifo(tmp_path / "pictures/train/a/9.png")
    (tmp_path / "theirs/experiment/bare.yaml").write_text("minima: 2\n", encoding="utf-8")
    (tmp_path / "theirs/estimator").mkdir()
    (tmp_path / "theirs/estimator/bare.yaml").write_text(
        "_target_: sgdtheory.temperature.estimators.virial.Virial\n", encoding="utf-8"
    )
    return set(tmp_path.rglob("*"))


@pytest.mark.parametrize("mistake", ALL, ids=str)
def test_is_told_in_three_lines_and_nothing_is_begun(
    mistake: Wrong, sgdtheory: Command, someones_files: set[Path], tmp_path: Path
) -> None:
    said = sgdtheory(*shlex.split(mistake.line))
    told = said.err.strip()
    assert said.code == 2, said
    assert said.out == "" and 1 <= len(told.splitlines()) <= 3, said
    assert "Traceback" not in told and "--trace" not in told
    assert [words for words in mistake.says if words not in told] == [], told
    left = {
        path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts
    }  # python's own, of the user's module
    assert left == someones_files


@pytest.mark.parametrize("study", studies())
def test_what_a_study_does_not_let_choose_is_told_in_our_words(study: str) -> None:
    composer = ConfigComposer("study", None)
    for word in ("sgd=adam", "~autoneb"):
        for fault in faults_of([f"study={study}", word], composer):
            assert fault.startswith(f"{word}: this command "), fault
            assert "\n" not in fault and "override" not in fault


def test_there_are_enough_of_them() -> None:
    assert len(set(ALL)) == len(ALL) >= 45 + 60


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there(sgdtheory: Command) -> None:
    said = sgdtheory("train", "device=cuda:1")
    assert (said.code, said.err) == (
        2,
        "device: there is no cuda:1 here, GPUs found: 0; use device=cpu or auto\n",
    )
    said = sgdtheory("train", "device=cpu", "landscape.device=cuda")
    words = (
        "landscape.device: there is no cuda here, GPUs found: 0; use landscape.device=cpu or auto\n"
    )
    assert (said.code, said.err) == (2, words)


def test_all_lines_of_a_mistake_are_told(sgdtheory: Command) -> None:
    said = sgdtheory("train", "data=mnist", "data.download=false")
    assert said.code == 2 and len(said.err.splitlines()) == 2, said
    assert "its four *-ubyte.gz files can be put into MNIST/raw" in said.err.splitlines()[1]


THREE = {"sgd.steps=abc": "sgd.steps", "sgd.momentum=1.5": "sgd.momentum", "minima=0": "minima"}
FIVE = {**THREE, "dtype=float16": "dtype", "landscape.noise=true": "landscape.noise"}
MISSPELT = {
    "sgd.stps=1": "'sgd.steps'",
    "modl=x": "'model'",
    "landscape.nois=2": "'landscape.noise'",
}
MISSPELT_FIVE = {**MISSPELT, "schedule=cosin": "'cosine'", "run.rot=x": "'run.root'"}


@pytest.mark.parametrize(
    "faults", [THREE, FIVE, MISSPELT, MISSPELT_FIVE], ids=["3", "5", "3 names", "5 names"]
)
def test_all_faults_are_told_at_once(
    faults: dict[str, str], sgdtheory: Command, tmp_path: Path
) -> None:
    said = sgdtheory("train", "landscape=quadratic", *faults)
    assert said.code == 2 and len(said.err.splitlines()) == 3, said
    assert all(word in said.err for word in faults.values()), said.err
    assert list(tmp_path.iterdir()) == []


def test_faults_on_top_of_an_earlier_run_are_told_like_any_other(
    sgdtheory: Command, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(
        sgdtheory("train", "landscape=ring", "--cfg", "job").out, encoding="utf-8"
    )
    said = sgdtheory("train", "--from", "config.yaml", "sgd.stps=3", "lndscape=ring")
    assert said.code == 2
    assert "did you mean 'sgd.steps'" in said.err and "did you mean 'landscape'" in said.err


def test_data_that_are_a_list_have_nothing_to_fetch(sgdtheory: Command, tmp_path: Path) -> None:
    whole = sgdtheory("train", "landscape=ring", "--cfg", "job").out
    before, _, after = whole.partition("\ndata:")
    rest = after.partition("\nloss:")[2]
    config = f"{before}\ndata:\n- 0\nloss:{rest}"
    (tmp_path / "config.yaml").write_text(config, encoding="utf-8")
    said = sgdtheory("train", "--from", "config.yaml", "--dry-run")
    assert (said.code, said.err) == (0, ""), said


def test_faults_in_a_multirun_are_told_like_any_other(sgdtheory: Command) -> None:
    said = sgdtheory("train", "-m", "landscape=ring", "minima=1,2", "sgd.stps=3")
    assert (said.code, said.out) == (2, "")
    assert said.err == "sgd.stps=3: there is no key 'sgd.stps'; did you mean 'sgd.steps'?\n"
    said = sgdtheory("train", "-m", "model=mlp,mpl", "sgd.steps=3")
    assert (said.code, said.out) == (2, "")
    assert said.err == "model=mpl: there is no model 'mpl'; did you mean 'mlp'?\n"


def test_trace_shows_where(sgdtheory: Command) -> None:
    with pytest.raises(ValueError, match="minima: must be"):
        sgdtheory("train", "landscape=ring", "minima=0", "--trace")
