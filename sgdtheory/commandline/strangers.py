"""What is taken of a configuration that stands in a file: the science. Nothing about where, how, or
whom to trust."""

from collections.abc import Iterable, Mapping

from sgdtheory.runs.foreign import NAME, refuse_resolvers
from sgdtheory.runs.plain import Facts, Json

# root keys of such a file
NOT_TAKEN = (
    "hydra",
    "run",
    "executor",
    "device",
    "threads",
    "trust",
    "defaults",
)


def science_of(tree: Facts, where: str) -> Json:
    """The tree without the sections that are the command line's alone; of `run` a plain name is
    left, and a device inside is the command's.

    Raises UserError where a value reads the environment, or anything else outside of the file.

    """
    found = {key: _placed(value) for key, value in tree.items() if key not in NOT_TAKEN}
    refuse_resolvers(found, where)
    name = name_of(tree)
    return found | ({"run": {"name": name}} if name else {})


def name_of(tree: Facts) -> str | None:
    """`run.name` where it is a plain name."""
    run = tree.get("run")
    name = run.get("name") if isinstance(run, Mapping) else None
    return name if isinstance(name, str) and NAME.fullmatch(name) else None


def left_behind(tree: Facts, usual: Facts) -> list[str]:
    """The keys of a file that say more than the defaults do and are not taken."""
    found = []
    for key in NOT_TAKEN:
        if key in tree and key not in ("defaults", *usual):
            found.append(key)
        elif key in tree:
            found += _different(tree[key], usual.get(key), key)
    return [key for key in found if key != "run.name" or name_of(tree) is None]


def _placed(value: object) -> object:
    """The same with the command's device wherever one is named."""
    if isinstance(value, Mapping):
        device = {"device": "${device}"} if isinstance(value.get("device"), str) else {}
        return {key: _placed(item) for key, item in value.items()} | device
    return [_placed(item) for item in value] if isinstance(value, list) else value


def _different(one: object, usual: object, key: str) -> Iterable[str]:
    """The keys with dots in which a tree is not as usual."""
    if isinstance(one, Mapping) and isinstance(usual, Mapping):
        different: list[str] = []
        for name, value in one.items():
            different += _different(value, usual.get(name), f"{key}.{name}")
        return different
    return [] if one == usual else [key]
