"""The pipeline of a command on a landscape that is there already."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from sgdtheory.commandline.complaints import faults_of
from sgdtheory.commandline.composer import ConfigComposer, trust_packages
from sgdtheory.commandline.keys_read import parameters_read
from sgdtheory.commandline.schema import Checker, build, refuse
from sgdtheory.commandline.stored import plain_tree
from sgdtheory.commandline.task import task
from sgdtheory.errors import UserError, first_line
from sgdtheory.protocol import Landscape
from sgdtheory.runs.plain import Facts, Json
from sgdtheory.runs.run import Pipeline, identity_of
from sgdtheory.runs.task import Settings, Task

STAND_IN = "landscape=quadratic"  # what is composed in the place of the landscape
IN_THIS_PROCESS = "executor.workers=1"
HERE = ("threads", "executor")  # settings of a command that does its work in this process


class OnLandscape:
    """What `sgdtheory COMMAND WORDS…` would do on a landscape that no configuration says.

    Raises UserError for words that say nothing to it.
    """

    def __init__(self, command: str, words: Sequence[str]) -> None:
        composed = _composed(command, [STAND_IN, IN_THIS_PROCESS, *words])
        tree = plain_tree(composed, resolve=True)
        checker = Checker()
        own = parameters_read(plain_tree(composed, resolve=False), tree, checker, words)
        settings = checker.call(Settings, {key: tree[key] for key in HERE}, "")
        node = checker.node({key: tree[key] for key in own}, "", Pipeline)
        refuse(checker.faults)
        assert node is not None
        self._node = node
        self.settings: Settings = build(settings)

    def pipeline(self, landscape: Landscape, identity: str, minima: Path) -> tuple[Pipeline, Json]:
        """The pipeline on this landscape, known by its `identity`, and what it is known by;
        `minima`: the file of the points it is given."""
        node = self._node
        node.arguments["landscape"] = landscape
        node.science["landscape"] = {"own": identity}
        node.arguments["minima"] = (minima,)
        pipeline: Pipeline = build(node)
        return pipeline, identity_of(pipeline, node.science)


def task_named(command: str, words: Sequence[str], keys: Facts, trust: tuple[str, ...]) -> Task:
    """The task that `sgdtheory COMMAND WORDS… KEY=VALUE… --trust …` would be, done in this process.

    Raises UserError for words that say nothing to it.
    """
    trust_packages(trust)
    cfg = _composed(command, [*words, IN_THIS_PROCESS])
    for key, value in keys.items():
        OmegaConf.update(cfg, key, value)
    return task(command, cfg, trust, tuple(words))


def _composed(command: str, words: Sequence[str]) -> DictConfig:
    composer = ConfigComposer(command.replace("-", "_"), None)
    composed = composer.compose(list(words))
    if isinstance(composed, Exception):
        refuse(faults_of(list(words), composer) or [first_line(composed)])
        raise UserError(first_line(composed))
    return OmegaConf.create(composed)
