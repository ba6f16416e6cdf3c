"""What people choose out of habit from other tools, and what is chosen for it here."""

import re

from sgdtheory.errors import fold

CHOICES = {
    # by group: what there is, and what it is called elsewhere (folded)
    "model": {
        "gpt": "transformer llm llama bert decoder languagemodel nanogpt mingpt",
        "vit": "visiontransformer deit",
        "cnn": "convnet conv lenet lenet5 simplecnn cifarcnn",
        "mlp": "fc fcn fcnet dense feedforward perceptron fullyconnected net",
        "linear": "logistic logisticregression softmax softmaxregression",
    },
    "data": {
        "table": "csv parquet tabular pandas dataframe regression",
        "tokens": "wikitext shakespeare tinyshakespeare penntreebank ptb enwik8 textfile",
        "text": "language english characters",
        "modular_addition": "grokking modular modularaddition modulararithmetic",
        "digits": "sklearn sklearndigits toy small",
    },
    "sgd": {
        "sgd": "momentum nesterov heavyball gd gradientdescent",
        "adamw": "adamweightdecay",
    },
    "schedule": {
        "cosine": "cosineannealing cosineannealinglr onecycle annealing linear decay",
        "steps": "step multistep steplr multisteplr piecewise",
        "constant": "none off flat fixed",
        "warmup": "linearwarmup warmupcosine",
    },
    "diagnostic": {
        "spectrum": "hessian hvp lambdamax maxeigenvalue eigenvalue eigenvalues eigs trace "
        "hessiantrace curvature lanczos topeigenvalue esd gaussnewton",
        "noise": "covariance gradientnoise noisecovariance gns noisescale fisher",
        "sharpness": "keskar flatness samsharpness",
        "llc": "rlct learningcoefficient locallearningcoefficient slt sgld",
        "edge": "eos edgeofstability stability",
        "critical": "saddle saddles criticalpoint stationary",
    },
    "estimator": {
        "excess_loss": "temperature t loss excess",
        "fluctuation_dissipation": "fdt fdr yaida",
        "hill": "tailindex heavytail alpha",
        "noise_scale": "gns covariance trace",
        "equipartition": "hessian modes directions",
    },
    "landscape": {
        "quadratic": "parabola bowl harmonic gaussian convex",
        "ring": "mexicanhat circle",
        "spherical": "spinglass glass pspin",
        "spiky": "rastrigin ackley",
        "bent_valley": "rosenbrock banana",
        "network": "net nn neuralnetwork",
    },
    "autoneb": {"draxler": "paper full long", "fast": "short quick small default"},
}
# the families of torchvision's classification models
TORCHVISION = (
    r"alexnet|vgg|resnet(18|34|50|101|152)$|resnext|wide_?resnet|densenet(121|161|169|201)|"
    r"googlenet|inception|squeezenet|mobilenet|efficientnet|convnext|shufflenet|mnasnet|regnet|"
    r"vit_|swin|maxvit"
)
OTHER_DATA = (
    "imagenet|tinyimagenet|svhn|stl|celeba|flowers|food|pets|emnist|kmnist|qmnist|"
    "imagefolder|folder|custom|own|npz"
)


def choice_meant(group: str, name: str) -> str:
    """A hint at the choice that is meant by one that a group does not have."""
    if group == "model":
        return _model_meant(name) or _called_elsewhere(group, name)
    if group == "data" and re.search(r"[./~]", name):
        return f"; images of your own: data=images data.path={name}"
    if group == "data" and re.match(OTHER_DATA, fold(name)):
        return "; what is not built in is read as images of your own: data=images data.path=…"
    return _called_elsewhere(group, name)


def _model_meant(name: str) -> str:
    """A model of torchvision's, or a network of the user's own."""
    joined = re.sub(r"(?<=[a-z])[-_ ](?=\d)", "", name.lower())
    if re.match(TORCHVISION, joined):
        known = re.sub(r"(?<=vgg|net)[-_ ](?=\d)", "", name.lower()).replace("-", "_")
        return f"; torchvision has models of that kind: model=torchvision model.name={known}"
    if re.search(r"[.:/]", name):
        package = re.split("[.:/]", name)[0]
        return f"; a network of your own: model=custom model.factory={name} --trust {package}"
    return ""


def _called_elsewhere(group: str, name: str) -> str:
    """What is here what other tools call by this name."""
    for choice, names in CHOICES.get(group, {}).items():
        if fold(name) in names.split():
            return f"; did you mean {choice!r}?"
    return ""
