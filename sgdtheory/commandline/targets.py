"""What may be a `_target_` of this package: what the files of configs/ build, and nothing else."""

import re
from difflib import SequenceMatcher, get_close_matches
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
CONFIGS = PACKAGE / "configs" if (PACKAGE / "configs").exists() else PACKAGE.parent / "configs"
OURS = "sgdtheory"
# in a yaml; what is commented out does not count
TARGET = re.compile(r"^\s*(?:- )?_target_: *(\S+)", re.MULTILINE)


@cache
def targets() -> frozenset[str]:
    """The dotted names that the files of configs/ build."""
    return frozenset(
        name
        for file in CONFIGS.rglob("*.yaml")
        for name in TARGET.findall(file.read_text(encoding="utf-8"))
    )


def public_name(name: str) -> str:
    """What an identity calls a target: one of this package by its own name, which files may move
    under; one of a trusted package by its dotted name."""
    return name.rpartition(".")[2] if name.startswith(f"{OURS}.") else name


def nearest_target(name: str) -> str:
    """A hint with the target whose own name comes closest, and of several the one whose module
    does."""
    nearest_names = _nearest_names(name.rpartition(".")[2])
    closest = sorted(target for target in targets() if public_name(target) in nearest_names)
    (nearest,) = get_close_matches(name, closest, n=1, cutoff=0.0)
    return f"; did you mean {nearest!r}?"


@cache
def _nearest_names(name: str) -> frozenset[str]:
    """Those of the targets' own names that are most like a name."""
    matcher = SequenceMatcher(None, "", name)
    highest, nearest = 0.0, list[str]()
    for own in set(map(public_name, targets())):
        matcher.set_seq1(own)
        if min(matcher.real_quick_ratio(), matcher.quick_ratio()) < highest:
            continue  # both are bounds on the ratio, which takes the time
        likeness = matcher.ratio()
        if likeness > highest:
            highest, nearest = likeness, []
        if likeness == highest:
            nearest.append(own)
    return frozenset(nearest)


def is_anothers(command: str, target: str, own: bool = False) -> bool:
    """Whether a pipeline (…pipelines.train.Train, …studies.widths.Widths) is another command's;
    `own`: nobody's is too."""
    name = command.replace("-", "_")
    package, *folders, module, _ = ["", "", "", *target.split(".")][
        -max(4, target.count(".") + 1) :
    ]
    if not own and (package, *folders[:1]) not in ((OURS, "pipelines"), (OURS, "studies")):
        return False
    return "studies" not in folders if name == "study" else module != name
