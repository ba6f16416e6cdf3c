"""What a stranger might put into a file: the package's own trees, with calls, sections, names and values replaced.

Also the watch over this process: what it starts, opens to write, and imports, whatever the package says of it.
"""

import copy
import functools
import importlib
import os
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hypothesis import strategies as st

import sgdtheory as package
from sgdtheory.commandline.targets import CONFIGS, targets

PLANTED = "planted_by_a_stranger"  # a package in the working directory that nobody trusts
CANARY = "canary"
COMMANDS = ("train", "connect", "diagnose", "sweep_temperature", "study")
HOOKED = {
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.Popen",
    "socket.connect",
    "shutil.rmtree",
}
CHANGES = {
    "os.remove": 1,
    "os.rename": 2,
    "os.mkdir": 1,
    "os.rmdir": 1,
    "os.link": 2,
    "os.symlink": 2,
    "os.truncate": 1,
}
LIBRARY = (
    "subprocess.run", "subprocess.Popen", "subprocess.check_output", "subprocess.getoutput", "os.system", "os.popen",
    "os.remove", "os.mkdir", "os.makedirs", "os.execv", "os.abort", "os._exit", "pathlib.Path.write_text", "pathlib.Path",
    "pathlib.Path.touch", "shutil.rmtree", "shutil.copy", "shutil.move", "builtins.exec", "builtins.eval", "builtins.open",
    "builtins.print", "io.open", "runpy.run_path", "runpy.run_module", "importlib.import_module", "pty.spawn", "code.interact",
    "webbrowser.open", "urllib.request.urlopen", "pickle.loads", "operator.methodcaller", "functools.partial", "typing.cast",
    "torch.load", "torch.save", "torch.utils.collect_env.run", "torch.hub.load", "numpy.load", "numpy.save", "yaml.unsafe_load",
    "hydra.utils.instantiate", "hydra.utils.call", "hydra.main", "omegaconf.OmegaConf.save", "sys.exit", "builtins.input",
    f"{PLANTED}.touch", f"{PLANTED}:touch", f"{PLANTED}.deep.touch", f"sgdtheory.{PLANTED}.touch",
)  # fmt: skip
BROKEN = (
    "", ".", "sgdtheory", "sgdtheory.", ".sgdtheory.sgd.SGD", "sgdtheory..sgd.SGD", "sgdtheory.optim.sgd.SGD.__init__",
    "sgdtheory.optim.sgd.SGD\n", "sgdtheory:sgd:SGD", "os.system;touch canary", "sgdtheory.optim.sgd.os.system", 3, None, True,
    ["os.system"], {"_target_": "os.system"}, "sgdtheory.optim.sgd.SGD\x00", "ѕgdtheory.sgd.SGD", "__import__('os').system",
)  # fmt: skip
TOUCH = f"touch {CANARY}"
OPEN = f"open('{CANARY}', 'w')"
ARGUMENTS = {
    "args": ["touch", CANARY], "command": TOUCH, "cmd": TOUCH, "path": CANARY, "name": CANARY, "file": CANARY, "source": OPEN,
    "data": "x", "text": "x", "mode": "w", "shell": True, "config": {"_target_": "os.system", "command": TOUCH},
    "trust": [PLANTED], "words": [f"+hydra.callbacks.x._target_={PLANTED}.touch"], "factory": f"{PLANTED}:touch",
    "_args_": [TOUCH], "_partial_": True, "_recursive_": True, "_convert_": "all", "run": CANARY, "target": "os.system",
}  # fmt: skip
TEXTS = (
    "../../canary", "/tmp/canary", "..", "", ".", "~/canary", "a\x1b[2Jb", "a\x00b", "a\nb", "a\rb", "\u202eevil", "\x9b1m",
    "<script>open('canary')</script>", '"><img src=x onerror=y>', "=cmd|'/c calc'!A0", "@SUM(1)", "$(touch canary)",
    "`touch canary`", "; touch canary", "{{7*7}}", "{% raw %}", "%s%n", "é", "x" * 300, "???", "null", "-1", "[bold]x[/]", "\\",
    "\ud800", "--trust",
)  # fmt: skip
RESOLVERS = (
    "${oc.env:HOME}", "${oc.env:HOME,x}", "${oc.decode:'1'}", "${oc.create:{a: 1}}", "${hydra:runtime.cwd}", "${now:%Y}",
    "${seed}", "${nothing}", "${seed", "${run.root}", "${a${seed}}", "x${oc.env:PATH}y", "${python_version:}", "${landscape}",
    "${.seed}", "${...seed}", "\\${oc.env:HOME}", "$${seed}",
)  # fmt: skip
NUMBERS = (
    0,
    -1,
    1,
    2,
    3,
    0.5,
    -0.5,
    1e300,
    -1e300,
    float("nan"),
    float("inf"),
    True,
    False,
    None,
    10**30,
    2**63,
    1e-300,
)
SECTIONS: dict[str, tuple[Any, ...]] = {
    "hydra": (
        {"callbacks": {"x": {"_target_": f"{PLANTED}.touch"}}},
        {"run": {"dir": CANARY}, "output_subdir": CANARY},
        {"job": {"env_set": {"LD_PRELOAD": "evil.so"}, "chdir": True}},
        {"job_logging": {"version": 1, "handlers": {"x": {"class": "logging.FileHandler", "filename": CANARY}}}},
        {"searchpath": [f"pkg://{PLANTED}"]},
        {"launcher": {"_target_": f"{PLANTED}.touch"}, "sweeper": {"_target_": "os.system"}},
        "x", [], None,
    ),
    "run": ({"root": CANARY}, {"dir": CANARY}, {"name": "../../canary"}, {"name": "good-name_1"}, {"x": 1}, "x", None, [1]),
    "executor": ({"_target_": f"{PLANTED}.touch"}, {"_target_": "sgdtheory.execution.executors.local.Local", "workers": 10**6}, "x", None, [1]),
    "device": ("cuda:7", "meta", "x", None, 3, {"_target_": f"{PLANTED}.touch"}),
    "threads": (10**9, -1, "x", {"_target_": f"{PLANTED}.touch"}),
    "trust": ([PLANTED], PLANTED, ["subprocess", "os"], {PLANTED: 1}),
    "defaults": ([{"landscape": "ring"}], [f"/{PLANTED}"], ["../../canary"], [{"override hydra/launcher": "x"}], "x", None),
    "from_file": ("x",), "experiment": ("../../x", "mlp_digits"), "study": ("escape", {"_target_": "os.system"}),
}  # fmt: skip
PIECES = (
    "x: !!python/object/apply:os.system ['touch canary']", "x: !!python/name:os.system", f"x: !!python/module:{PLANTED}",
    "x: &a [1]\ny: *a", "<<: {_target_: os.system}", "_target_: os.system", "{", "\t", "seed: 1\nseed: 2", "---\n_target_: x",
    "? [1, 2]\n: 3", "1: 2", "null: 3", "x: !!binary aGk=", "%YAML 9.9", "x: 2001-01-01", "x: 0x1F", "x: !!set {a, b}",
    "a.b: 1", "\x1b: 1", "x: " + "[" * 100 + "]" * 100, "# \x1b[2J", "_partial_: true", "\ufeff",
)  # fmt: skip


class Done(NamedTuple):
    """What this process did while it was watched."""

    started: list[str]  # processes, connections, whole folders taken away
    written: list[str]  # files opened to write, made, moved, deleted


_watched: list[Done] = []


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _watched:
        return
    if event in HOOKED:
        _watched[-1].started.append(f"{event} {args!r:.200}")
    elif event in CHANGES:
        paths = [_name(path) for path in args[: CHANGES[event]]]
        _watched[-1].written.extend(
            path for path in paths if event != "os.mkdir" or not Path(path).exists()
        )
    elif event == "open" and not isinstance(args[0], int) and _writes(args[1], args[2]):
        _watched[-1].written.append(_name(args[0]))


def _writes(mode: Any, flags: Any) -> bool:
    if isinstance(mode, str):
        return bool(set(mode) & set("wax+"))
    return isinstance(flags, int) and bool(
        flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    )


def _name(path: Any) -> str:
    return (
        os.path.realpath(os.fsdecode(path))
        if isinstance(path, str | bytes | os.PathLike)
        else f"descriptor {path}"
    )


sys.addaudithook(_hook)


@contextmanager
def watched() -> Iterator[Done]:
    """What is done in this block: the interpreter's own audit events, which nothing in it can leave out."""
    done = Done([], [])
    _watched.append(done)
    try:
        yield done
    finally:
        _watched.remove(done)


# trees


@functools.cache
def _composed(command: str) -> Any:
    from sgdtheory.commandline.composer import ConfigComposer

    found = ConfigComposer(command, None).compose(["study=escape"] if command == "study" else [])
    assert isinstance(found, dict), found
    return found


@functools.cache
def _groups() -> dict[str, dict[str, Any]]:
    """The files of configs/ by group, as plain data."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(CONFIGS.glob("*/*.yaml")):
        tree = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        if "download" in tree:
            tree["download"] = False  # nothing is fetched here
        found.setdefault(file.parent.name, {})[file.stem] = tree
    return found


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Any]:
    """A configuration as configs/ has it: any command, any choice of any group, any study or experiment."""
    command = draw(st.sampled_from(COMMANDS))
    tree: dict[str, Any] = copy.deepcopy(_composed(command))
    tree |= {
        "landscape": copy.deepcopy(
            _groups()["landscape"][draw(st.sampled_from(["ring", "quadratic", "double_well"]))]
        )
    }
    for group in draw(st.lists(st.sampled_from(sorted(_groups())), max_size=2)):
        choice = copy.deepcopy(draw(st.sampled_from(sorted(_groups()[group].items())))[1])
        if group in ("study", "experiment"):
            tree |= choice
        elif group in ("diagnostic", "estimator"):
            tree[group] = {"x": choice}
        else:
            tree[group] = choice
    return tree


@functools.cache
def callables() -> list[str]:
    """All that can be called in any module of the package, by every name it has there."""
    names = set()
    for module in pkgutil.walk_packages(package.__path__, "sgdtheory."):
        if not module.name.endswith("__main__"):
            here = vars(importlib.import_module(module.name)).items()
            names |= {f"{module.name}.{name}" for name, thing in here if callable(thing)}
    return sorted(
        names | {f"sgdtheory.{name}" for name, thing in vars(package).items() if callable(thing)}
    )


def names() -> st.SearchStrategy[Any]:
    """What may stand at `_target_`: listed ones in the wrong place, ours that are not listed, others, and no names."""
    ours = st.deferred(lambda: st.sampled_from(callables()))
    listed = st.deferred(lambda: st.sampled_from(sorted(targets())))
    return st.one_of(
        st.sampled_from(LIBRARY), ours, listed, st.sampled_from(BROKEN), st.sampled_from(TEXTS)
    )


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    """A node that would make the canary."""
    keys = draw(st.lists(st.sampled_from(sorted(ARGUMENTS)), max_size=3, unique=True))
    return {"_target_": draw(names()), **{key: copy.deepcopy(ARGUMENTS[key]) for key in keys}}


def values() -> st.SearchStrategy[Any]:
    leaves = st.one_of(
        st.sampled_from(NUMBERS),
        st.sampled_from(TEXTS),
        st.sampled_from(RESOLVERS),
        names(),
        calls(),
    )
    few = st.lists(leaves, max_size=2)
    return st.one_of(
        leaves,
        few,
        st.dictionaries(st.sampled_from([*TEXTS, "_target_", "x", "path"]), leaves, max_size=2),
    )


def _places(tree: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The keys that lead to every value of a tree."""
    pairs = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    return [
        place for key, value in pairs for place in ((*before, key), *_places(value, (*before, key)))
    ]


def _change(draw: st.DrawFn, tree: dict[str, Any]) -> None:
    """One thing in a tree becomes another."""
    kind = draw(st.sampled_from(["call", "target", "value", "key", "section", "leave out", "add"]))
    places = _places(tree)
    if kind == "section" or not places:
        name = draw(st.sampled_from(sorted(SECTIONS)))
        tree[name] = draw(st.one_of(st.sampled_from(SECTIONS[name]), values()))
        return
    if kind == "target":
        places = [place for place in places if place[-1] == "_target_"] or places
    *parents, last = draw(st.sampled_from(places))
    inner: Any = functools.reduce(lambda node, key: node[key], parents, tree)
    if kind == "target":
        inner[last] = draw(names())
    elif kind == "leave out":
        del inner[last]
    elif kind == "key" and isinstance(inner, dict):
        inner[draw(st.sampled_from([*TEXTS, "_target_", 1, True, None, 0.5]))] = inner.pop(last)
    elif kind == "add" and isinstance(inner, dict):
        inner[draw(st.sampled_from(["_partial_", "_args_", "_recursive_", "x", *ARGUMENTS]))] = (
            draw(values())
        )
    else:
        inner[last] = draw(calls() if kind == "call" else values())


@st.composite
def configurations(draw: st.DrawFn) -> str:
    """The text of a configuration that was tampered with."""
    tree = draw(trees())
    for _ in range(draw(st.integers(0, 3))):
        _change(draw, tree)
    text = yaml.safe_dump(tree, allow_unicode=draw(st.booleans()), sort_keys=False)
    for piece in draw(st.lists(st.sampled_from(PIECES), max_size=1)):
        text = draw(st.sampled_from([f"{piece}\n{text}", f"{text}{piece}\n"]))
    return text


@st.composite
def tampered(draw: st.DrawFn, thing: Any) -> Any:
    """Plain data of a run (a manifest, results, units), with one to three values replaced."""
    tree = copy.deepcopy(thing)
    for _ in range(draw(st.integers(1, 3))):
        places = _places(tree)
        if not places or draw(st.integers(0, 20)) == 0:
            return draw(values())
        *parents, last = draw(st.sampled_from(places))
        inner: Any = functools.reduce(lambda node, key: node[key], parents, tree)
        if isinstance(inner, dict) and draw(st.booleans()):
            inner[
                draw(st.sampled_from([*TEXTS, "minima.safetensors", "../canary", "plots", "name"]))
            ] = inner.pop(last)
        else:
            inner[last] = draw(values())
    return tree


def everything(folder: Path) -> dict[str, Any]:
    """All that lies below a folder, byte by byte."""
    found = {}
    for path in folder.rglob("*"):
        found[str(path)] = (
            path.read_bytes() if path.is_file() and not path.is_symlink() else path.is_dir()
        )
    return found
