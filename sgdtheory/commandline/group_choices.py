"""The choices that a group of ours has, and what the name of one says."""

from functools import cache

from sgdtheory.commandline.targets import CONFIGS
from sgdtheory.runs.plain import Facts, Json

MISSING = "???"  # how a configuration says that a value must be given


def name_of(group: str, tree: Facts) -> str:
    """What a choice of a group is called: by its file where it is the only one with its target."""
    target = str(tree.get("_target_"))
    names = list(_alike(group, target))
    if len(names) == 1:
        return names[0]
    return target.rpartition(".")[2]


def choice_named(group: str, name: str) -> Json | None:
    """The choice of this name, where it says all that it needs."""
    choice = _choices(group).get(name)
    return None if choice is None or MISSING in choice.values() else choice


def told_by_name(group: str, tree: Json, typed: list[str]) -> list[str]:
    """The keys by which a choice of a group differs from the others with its target; all of them
    where it is none of ours. `typed`: the keys that say something else besides."""
    alike = _alike(group, str(tree["_target_"])).values()
    plain = {key: value for key, value in tree.items() if f"{group}.{key}" not in typed}
    own = next((choice for choice in alike if _has(choice, plain)), None)
    if own is None:
        return list(tree)
    told = []
    for key in tree:
        values = [choice.get(key) for choice in alike]
        if values != [own.get(key)] * len(values):
            told.append(key)
    return told


def _has(choice: Facts, values: Facts) -> bool:
    return all(choice.get(key) == value for key, value in values.items())


def _alike(group: str, target: str) -> dict[str, Json]:
    """The choices with a target, by their names."""
    found = _choices(group)
    return {name: choice for name, choice in found.items() if choice["_target_"] == target}


@cache
def _choices(group: str) -> dict[str, Json]:
    """The choices of a group that the package has, by their names."""
    from omegaconf import OmegaConf

    found = {}
    for file in sorted((CONFIGS / group).glob("*.yaml")):
        loaded = OmegaConf.load(file)
        tree = OmegaConf.to_container(loaded, resolve=False)
        if isinstance(tree, dict) and "_target_" in tree:
            found[file.stem] = {str(key): value for key, value in tree.items()}
    return found
