"""From the command line to tasks, by Hydra's own front end."""

from collections.abc import Callable
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sgdtheory.commandline.complaints import faults_of, first_line
from sgdtheory.commandline.composer import COMPOSITION, ConfigComposer, groups, trust_packages
from sgdtheory.commandline.flags import flags_first, value_of
from sgdtheory.commandline.hydra_app import run_hydra
from sgdtheory.commandline.minima_runs import own_files
from sgdtheory.commandline.schema import refuse
from sgdtheory.commandline.shown import commented
from sgdtheory.commandline.stored import kept_yaml, read_whole, usual_settings
from sgdtheory.commandline.strangers import left_behind, science_of
from sgdtheory.commandline.targets import CONFIGS, is_anothers
from sgdtheory.commandline.words import in_ascii, jobs_of, quoted, root_of
from sgdtheory.errors import UserError, nearest
from sgdtheory.runs.run import Run, finished_run
from sgdtheory.runs.task import Task

FROM_FILE = "from_file"  # what Hydra knows the configuration of an earlier run by
PACKAGES = {
    "experiment": "_global_",
    "study": "_global_",
    "diagnostic": "diagnostic.{}",
    "estimator": "estimator.{}",
}


def launch(
    command: str,
    words: list[str],
    trust: tuple[str, ...],
    from_file: Path | None,
    job: Callable[[Task], None],
    again: Callable[[Run], None] | None = None,
) -> list[Exception]:
    """Compose with Hydra's own front end and hand every resulting task to `job`; gives what the
    jobs raised, in order.

    `again`: what is done instead where a finished run has the same configuration; None: nothing
    is to be done, and nothing is downloaded.
    `words`: overrides and Hydra's flags, in any order; a multirun gives several tasks. Raises
    UserError for wrong words.
    """
    trust_packages(trust)
    flags, overrides = flags_first(words)
    directory = _config_dir(flags)
    primary, notes = _primary(command, overrides, from_file)
    name = value_of(flags, "--config-name", "-cn") or primary
    _refuse_unknown(name, directory)
    _refuse_misplaced(overrides, directory)
    raised: list[Exception] = []
    is_multirun = sweeps(flags)

    def run(cfg: DictConfig) -> None:
        try:
            done = None if again is None or trust else _finished(command, cfg)
            if again is not None and done is not None:
                again(done)
                return
            from sgdtheory.commandline.task import task

            if again is None:
                _download_nothing(cfg)
            words = _words_of_job() if is_multirun else overrides
            job(task(command, cfg, trust, tuple(words), notes))
        except Exception as fault:
            raised.append(fault)

    spoken = [in_ascii(quoted(word)) for word in overrides]
    only_flags_say_how_many = _says_nothing_of_hydra(directory, spoken)
    try:
        with commented(name, flags, spoken, directory):
            run_hydra(name, flags, spoken, run, only_flags_say_how_many)
    except UserError:
        raise
    except COMPOSITION as fault:
        jobs = list(jobs_of(spoken)) if is_multirun else [spoken]
        composer = ConfigComposer(name, directory)
        if only_flags_say_how_many and not flags:  # nothing but composing can have failed
            composer.composed[tuple(spoken)] = fault
        faults = next(filter(None, (faults_of(job, composer) for job in jobs)), None)
        refuse(faults or [first_line(str(fault))])
    return raised


def _download_nothing(cfg: DictConfig) -> None:
    """Have data sets that are fetched be what is there; in a stranger's file they may be no such
    thing."""
    data = cfg.get("data")
    if isinstance(data, DictConfig) and data.get("download"):
        data.download = False


def sweeps(words: list[str]) -> bool:
    """Whether flags ask for several jobs."""
    return bool({"-m", "--multirun"} & set(words))


def _words_of_job() -> list[str]:
    """The overrides of this one job of a multirun, without those that sweep."""
    return [str(word) for word in HydraConfig.get().overrides.task]


def _config_dir(flags: list[str]) -> str | None:
    directory = value_of(flags, "--config-dir", "-cd")
    if directory is not None and not Path(directory).is_dir():
        raise UserError(f"--config-dir {directory}: no such folder")
    return directory


def _refuse_unknown(name: str, directory: str | None) -> None:
    """Raise UserError for a name of a primary configuration that there is not."""
    folders = [CONFIGS, Path(directory)] if directory else [CONFIGS]
    files = [file for folder in folders for file in sorted(folder.glob("*.yaml"))]
    known = [file.stem for file in files]
    if name.removesuffix(".yaml") not in [*known, FROM_FILE]:
        hint = nearest(name, known)
        raise UserError(f"--config-name {name}: there is no such configuration{hint}")


def _finished(command: str, cfg: DictConfig) -> Run | None:
    """The run that has done what a configuration asks for, known without building anything."""
    if command in ("connect", "diagnose"):
        return None  # the points that they read are a part of what they are
    try:
        root = OmegaConf.select(cfg, "run.root")
        elsewhere = [OmegaConf.select(cfg, f"run.{key}") for key in ("dir", "name")]
        own_points = isinstance(cfg.get("minima"), int | None)
        own_points = own_points and cfg.get("start") is None
        if not own_points or not isinstance(root, str) or elsewhere != [None, None]:
            return None
        return finished_run(Path(root), command, kept_yaml(cfg))
    except OmegaConfBaseException:  # an interpolation that leads nowhere is told by the task
        return None


def _refuse_misplaced(overrides: list[str], directory: str | None) -> None:
    """Raise UserError for a file of the user's whose keys would land where nothing reads them, for
    want of its first line."""
    if not directory:
        return
    for word in overrides:
        group, _, names = word.lstrip("+").partition("=")
        for name in names.strip("[]").split(","):
            package = PACKAGES.get(group, "").format(name)
            file = Path(directory, group, f"{name}.yaml")
            if package and file.is_file() and not _is_placed(file, package):
                raise UserError(
                    f"{file}: its first line must be `# @package {package}`, or nothing reads "
                    f"its keys"
                )


def _is_placed(file: Path, package: str) -> bool:
    return f"@package {package}" in file.read_text(encoding="utf-8", errors="replace")


def _says_nothing_of_hydra(directory: str | None, overrides: list[str]) -> bool:
    """Whether only flags can say if several jobs are meant: our own files leave `hydra.mode` out,
    and what a run's file has of Hydra is not taken."""
    return directory is None and not any("hydra" in word for word in overrides)


def _primary(
    command: str, overrides: list[str], from_file: Path | None
) -> tuple[str, tuple[str, ...]]:
    """(the name of the primary config, what is to be said of it); a run's own config.yaml is
    registered as one."""
    name = command.replace("-", "_")
    if from_file is None:
        return name, ()
    if any(root_of(word) == "experiment" for word in overrides):
        raise UserError("--from and experiment= are two starting points; give one of them")
    whole = read_whole(from_file)
    raw = science_of(whole, str(from_file))
    own_files(raw, from_file.parent)
    if is_anothers(command, str(raw["_target_"]), own=True):
        raise UserError(
            f"{from_file} belongs to another command ({raw['_target_']}), not to {command}"
        )
    known = [group for group in groups() if group not in ("experiment", "executor")]
    for word in overrides:
        if (group := word.partition("=")[0].lstrip("+")) in known:
            # a new choice replaces the old one whole instead of being merged into it
            raw.pop(group, None)
    defaults = [
        "base",
        {"executor": "local"},
        "_self_",
        *({group: [] if group == "diagnostic" else None} for group in known),
    ]
    ConfigStore.instance().store(
        name=FROM_FILE, node=OmegaConf.create({**raw, "defaults": defaults})
    )
    left = left_behind(whole, usual_settings())
    said = (
        f"{from_file}: its {', '.join(left)} {'is' if len(left) == 1 else 'are'} not "
        f"taken; the command line says where and how"
    )
    return FROM_FILE, (said,) if left else ()
