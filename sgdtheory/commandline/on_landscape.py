"""The pipeline of a command on a landscape that is there already."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from sgdtheory.commandline.complaints import faults_of
from sgdtheory.commandline.composer import ConfigComposer, trust_packages
from sgdtheory.commandline.hints import parameters_of
from sgdtheory.commandline.schema import Checker, build, refuse
from sgdtheory.commandline.stored import plain_tree
from sgdtheory.commandline.task import task
from sgdtheory.errors import UserError, first_line
from sgdtheory.protocol import Landscape
from sgdtheory.runs.plain import Facts, Json
from sgdtheory.runs.run import Pipeline, identity_of
from sgdtheory.runs.task import Task

STAND_IN = "landscape=quadratic"  # what is composed in the place of the landscape


def pipeline_on(
    command: str,
    landscape: Landscape,
    identity: str,
    words: Sequence[str],
    minima: Path | None,
) -> tuple[Pipeline, Json]:
    """The pipeline that `sgdtheory COMMAND WORDS…` would be on this landscape, and what it is known
    by, the landscape by its `identity`; `minima`: the file of the points it is given.

    Raises UserError for words that say nothing to it.
    """
    tree = plain_tree(_composed(command, [STAND_IN, *words]), resolve=True)
    checker = Checker()
    target = checker.resolve(tree["_target_"], "_target_")
    assert target is not None  # it is one of ours
    keys = ("_target_", *parameters_of(target))
    node = checker.node({key: tree[key] for key in keys}, "", Pipeline)
    refuse(checker.faults)
    assert node is not None
    node.arguments["landscape"] = landscape
    node.science["landscape"] = {"own": identity}
    if minima is not None:
        node.arguments["minima"] = (minima,)
    pipeline: Pipeline = build(node)
    return pipeline, identity_of(pipeline, node.science)


def task_named(command: str, words: Sequence[str], keys: Facts, trust: tuple[str, ...]) -> Task:
    """The task that `sgdtheory COMMAND WORDS… KEY=VALUE… --trust …` would be.

    Raises UserError for words that say nothing to it.
    """
    trust_packages(trust)
    cfg = _composed(command, words)
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
