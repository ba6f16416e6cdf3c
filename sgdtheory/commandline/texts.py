"""What `--help` says of each command: what it does, its own keys, and lines to start from."""

from typing import NamedTuple


class Example(NamedTuple):
    """A command line, and what it is for."""

    purpose: str
    line: str


class Text(NamedTuple):
    """The help of one command."""

    summary: str
    keys: str
    examples: tuple[Example, ...]

    def help(self) -> str:
        """In rich's markup: what it does, its keys, the examples."""
        lines = ["Examples:"]
        for example in self.examples:
            lines += [f"  # {example.purpose}", f"  sgdtheory {example.line}"]
        paragraphs = [self.summary, self.keys, "\n".join(lines)]
        return "\n\n".join(map(escaped, paragraphs))


def escaped(text: str) -> str:
    """A text whose brackets rich takes for brackets, not for a style."""
    return text.replace("[", "\\[")


ALL_KEYS = "`--cfg job` prints all keys with what they mean, `sgdtheory list` all choices."
PIPELINES = {
    "train": Text(
        "Find minima.",
        "Keys of its own: minima=4 (how many), snapshots=0, polish=auto|none|descent|lbfgs, "
        "start=RUN@STEP; groups: landscape=, model=, data=, loss=, sgd=, schedule=, "
        f"diagnostic=[…], experiment=. {ALL_KEYS}",
        (
            Example("two minima of a small network on digits, seconds", "train model=mlp minima=2"),
            Example("the same from three seeds", "train model=mlp --multirun seed=0,1,2"),
            Example("a formula, all of whose answers are known", "train landscape=double_well"),
            Example(
                "a network of your own",
                "train model=custom model.factory=mypkg.nets:net --trust mypkg",
            ),
        ),
    ),
    "connect": Text(
        "Join minima by low-loss paths, build their graph.",
        "Keys of its own: minima= (runs, files of weights; nothing: the newest train run of this "
        "landscape), checkpoint.key=, pairs=tree|all|[[0,1]], method=autoneb|string_sampling, "
        f"autoneb=fast|draxler, examples=auto, plane=11. {ALL_KEYS}",
        (
            Example("the minima of the newest train run", "connect model=mlp"),
            Example("two checkpoints", "connect 'minima=[a.pt,b.safetensors]' model=resnet20"),
            Example("a formula whose barrier is known", "connect landscape=muller_brown"),
            Example("what it would cost", "connect landscape=muller_brown --dry-run"),
        ),
    ),
    "diagnose": Text(
        "Say what can be said of points that you have: scores, gradient, diagnostics.",
        "Nothing is trained. Keys of its own: minima= (runs, files of weights, a folder, a glob), "
        "checkpoint.key=, checkpoint.prefix=, checkpoint.strict=, "
        f"diagnostic=[spectrum,noise,sharpness], products=, draws=. {ALL_KEYS}",
        (
            Example("the minima of a run", "diagnose minima=RUN 'diagnostic=[spectrum]'"),
            Example(
                "a checkpoint of yours",
                "diagnose minima=best.ckpt model=resnet20 'diagnostic=[spectrum,noise]'",
            ),
        ),
    ),
    "sweep-temperature": Text(
        "Measure the temperature of SGD's noise over rates and batch sizes.",
        "Keys of its own: sweep.learning_rate=[0.1,0.2], sweep.batch_size=[8,16], replicas=32, "
        "precision=0.02, sgd.momentum=, sgd.sampling=iid|without_replacement|epoch, sgd.steps=, "
        f"minima=, estimator=[…]. {ALL_KEYS}",
        (
            Example("softmax regression on digits, 20 seconds", "sweep-temperature"),
            Example("one cell", "sweep-temperature 'sweep.batch_size=[32]' replicas=16"),
            Example("Adam's temperature", "sweep-temperature sgd=adam"),
            Example("a formula, seconds", "sweep-temperature landscape=quadratic"),
        ),
    ),
    "study": Text(
        "Put one claim of the field to the test: study NAME; without NAME, the list.",
        "Keys of its own differ from study to study: `sgdtheory study NAME --cfg job` prints them "
        "with what they mean.",
        (
            Example("the list", "study"),
            Example("one of them", "study escape"),
            Example("what it would cost", "study escape --dry-run"),
        ),
    ),
}
LISTING = Text(
    "List everything that can be chosen: models, data, landscapes, diagnostics, studies, …",
    "Without a group, all of them; a choice is said as GROUP=NAME in the commands named beside "
    "the group.",
    (
        Example("all", "list"),
        Example("the models", "list model"),
        Example("the claims that can be put to the test, with their times", "list study"),
    ),
)
