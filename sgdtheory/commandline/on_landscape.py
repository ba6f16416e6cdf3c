"""The pipeline of a command on a landscape that is there already."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from sgdtheory.commandline.complaints import faults_of
from sgdtheory.commandline.composer import ConfigComposer
from sgdtheory.commandline.hints import parameters_of
from sgdtheory.commandline.schema import Checker, build, refuse
from sgdtheory.commandline.stored import plain_tree
from sgdtheory.errors import UserError, first_line
from sgdtheory.protocol import Landscape
from sgdtheory.runs.plain import Json
from sgdtheory.runs.run import Pipeline, identity_of

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
    composer = ConfigComposer(command.replace("-", "_"), None)
    composed = composer.compose([STAND_IN, *words])
    if isinstance(composed, Exception):
        refuse(faults_of([STAND_IN, *words], composer) or [first_line(composed)])
        raise UserError(first_line(composed))
    tree = plain_tree(OmegaConf.create(composed), resolve=True)
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
