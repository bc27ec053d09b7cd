"""The configuration: every setting with its one home, and the rules between settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from types import MappingProxyType
from typing import Any, TypeVar

from jobd.core.alert import Alerts
from jobd.core.durations import format_duration
from jobd.core.lifecycle import FailureType
from jobd.core.names import check_name
from jobd.core.policy import DEFAULT_POLICIES, OWN_LIMIT, RetryPolicy
from jobd.core.reading import Reading, find
from jobd.core.sections import Commands, Limits, Log, QueueSettings
from jobd.core.settings import (
    Choice,
    Duration,
    Keys,
    Number,
    Setting,
    Text,
    Texts,
    Whole,
    declared,
    setting,
)
from jobd.core.upkeep import Metrics, Retention
from jobd.errors import BadInput, ConfigurationError

T = TypeVar("T")
_MODULE = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
_HOUR, _DAY, _HUNDRED_YEARS = 3_600, 86_400, 36_525 * 86_400


@dataclass(frozen=True, slots=True)
class Pool:
    """The worker threads and where their handlers come from."""

    workers: int = setting(4, "How many jobs run at the same time.", Whole(1, 256), reload=False)
    handlers: tuple[str, ...] = setting(
        (),
        "The modules whose @jobd.job functions are the job types.",
        Texts("module names", "myapp.jobs", _MODULE),
        reload=False,
    )
    path: tuple[str, ...] = setting(
        (),
        "Directories in which Python looks for those modules first.",
        Texts("directories", "/srv/myapp", r"[^\0]+"),
        reload=False,
    )
    isolation: str = setting(
        "thread",
        "Where a Python handler runs that does not say: thread, or process, which can be killed.",
        Choice("thread", "process"),
        reload=False,
    )
    max_stuck_threads: int = setting(
        4,
        "With more threads than this that would not stop, the daemon drains and exits with 75.",
        Whole(0, 1000),
        reload=False,
    )
    max_threads: int = setting(
        1000,
        "With more threads in its process, left by handlers, it does so too; a child is replaced.",
        Whole(20, 100_000),
        reload=False,
    )
    max_open_files: float = setting(
        0.8,
        "So with more open files than this share of what the system allows (RLIMIT_NOFILE).",
        Number(0.05, 1),
        reload=False,
    )


@dataclass(frozen=True, slots=True)
class Timing:
    """Intervals and grace periods, in seconds."""

    sweep_interval: float = setting(
        1.0, "How often timeouts and zombies are looked for.", Duration(0.05, _HOUR), reload=False
    )
    heartbeat: float = setting(
        5.0, "How often each worker tells the log that it is alive.", Duration(0.1, _DAY),
        reload=False,
    )
    kill_grace: float = setting(
        5.0, "How long an attempt that was told to stop may go on before it is killed.",
        Duration(0, _HOUR),
    )
    zombie_hold: float = setting(
        300.0, "How long a job whose attempt would not end stays zombie before it is parked.",
        Duration(1, 30 * _DAY),
    )
    stuck_after: float | None = setting(
        300.0,
        "A handler that reports progress may be stuck when it has not for so long; or \"none\".",
        Duration(0.1, 30 * _DAY, optional=True),
    )
    shutdown_grace: float = setting(
        30.0, "How long running jobs may go on after a stop of the daemon.", Duration(0, _DAY)
    )
    timeout: float | None = setting(
        None,
        'How long an attempt may run when neither the job nor its handler says; or "none".',
        Duration(0.001, _HUNDRED_YEARS, optional=True),
    )


@dataclass(frozen=True, slots=True)
class Config:
    """All settings; `Config()` is every default."""

    db: str | None = setting(
        None,
        "The database; else $STATE_DIRECTORY/jobd.db, else ~/.local/state/jobd/jobd.db.",
        Text("a path"),
        reload=False,
    )
    synchronous: str = setting(
        "full",
        "full, or normal: faster, but a power cut may lose the last moments.",
        Choice("full", "normal"),
        reload=False,
    )
    pool: Pool = Pool()
    timing: Timing = Timing()
    retry: Mapping[FailureType, RetryPolicy] = field(default_factory=lambda: DEFAULT_POLICIES)
    classify: Mapping[str, FailureType] = field(default_factory=lambda: MappingProxyType({}))
    queues: Mapping[str, QueueSettings] = field(default_factory=lambda: MappingProxyType({}))
    log: Log = field(default_factory=Log)
    commands: Commands = field(default_factory=Commands)
    limits: Limits = field(default_factory=Limits)
    retention: Retention = field(default_factory=Retention)
    metrics: Metrics = field(default_factory=Metrics)
    alerts: Alerts = field(default_factory=Alerts)


def _check_queue(name: str) -> object:
    return check_name("queue", name)


def _check_class(name: str) -> object:
    if all(part.isidentifier() for part in name.split(".")):
        return name
    raise BadInput('write an exception class such as "requests.exceptions.ConnectionError"')


def _all_settings() -> list[Setting]:
    retry = [(("retry", name), policy) for name, policy in DEFAULT_POLICIES.items()]
    types = Choice(*FailureType)
    return [
        *declared((), Config),
        *declared(("retry", "default"), RetryPolicy),
        *(each for prefix, policy in retry for each in declared(prefix, policy)),
        Setting(("classify", "*"), None, "The failure type of an exception class and its "
                "subclasses.", types, True, _check_class),
        *(each._replace(check_key=_check_queue)
          for each in declared(("queues", "*"), QueueSettings)),
    ]


SETTINGS: Mapping[Keys, Setting] = MappingProxyType({each.path: each for each in _all_settings()})
"""Every setting by its path; a "*" in a path stands for a name that the user chooses."""


def load(
    tables: Mapping[str, object],
    environment: Mapping[str, str],
    flags: Mapping[str, object],
    *,
    file: str = "configuration file",
) -> Config:
    """The configuration that the sources make: a flag beats the environment beats the file.

    `flags` go by dotted name and hold text or what the file would hold; None is not given. `file`
    is how messages call the file. Raises ConfigurationError with all problems at once.
    """
    config, problems = load_what_fits(tables, environment, flags, file=file)
    if problems:
        raise ConfigurationError(problems)
    return config


def load_what_fits(
    tables: Mapping[str, object],
    environment: Mapping[str, str],
    flags: Mapping[str, object],
    *,
    file: str = "configuration file",
) -> tuple[Config, list[str]]:
    """As `load`, but what is wrong is left out, and told in the list beside the rest."""
    reading = Reading(SETTINGS)
    reading.read_file(tables, file)
    reading.read_environment(environment)
    reading.read_flags(flags)
    return _build(reading), reading.problems


def set_by(environment: Mapping[str, str], flags: Mapping[str, object]) -> set[str]:
    """Dotted names of what variables and flags decide, whatever a file says."""
    reading = Reading(SETTINGS)
    reading.read_environment(environment)
    reading.read_flags(flags)
    return {".".join(path) for path in reading.values}


def _build(reading: Reading) -> Config:
    values = reading.values
    queues = {path[1] for path in reading.tables if path[0] == "queues" and len(path) > 1}
    tables: dict[str, Any] = {
        each.name: each.type(**_section(values, (each.name,)))
        for each in fields(Config) if isinstance(each.type, type) and is_dataclass(each.type)
    }
    return Config(
        **_section(values, ()),
        **tables,
        retry=MappingProxyType({each: _policy(values, each) for each in FailureType}),
        classify=MappingProxyType(_section(values, ("classify",))),
        queues=MappingProxyType(
            {name: QueueSettings(**_section(values, ("queues", name))) for name in sorted(queues)}
        ),
    )


def _section(values: Mapping[Keys, Any], prefix: Keys) -> dict[str, Any]:
    """The values that stand directly in one table, by their last name."""
    return {path[-1]: value for path, value in values.items() if path[:-1] == prefix}


def _policy(values: Mapping[Keys, Any], failure_type: FailureType) -> RetryPolicy:
    beneath = _section(values, ("retry", "default"))
    if failure_type in OWN_LIMIT:
        beneath.pop("max_retries", None)
    own = _section(values, ("retry", failure_type))
    return replace(DEFAULT_POLICIES[failure_type], **(beneath | own))


def relations(config: Config) -> list[str]:
    """A warning for each pair of timers that do not fit each other."""
    t = config.timing
    rules = [
        (t.kill_grace < t.shutdown_grace, "kill_grace", "shutdown_grace", "be less than",
         "a stop of the daemon ends before attempts that do not stop are killed"),
        (t.sweep_interval <= t.kill_grace, "sweep_interval", "kill_grace", "not exceed",
         "attempts are killed later than kill_grace says"),
        (t.sweep_interval <= t.heartbeat, "sweep_interval", "heartbeat", "not exceed",
         "heartbeats come no more often than sweeps"),
        (t.sweep_interval * 10 <= t.zombie_hold, "sweep_interval", "zombie_hold",
         "be at most a tenth of", "zombies are parked later than zombie_hold says"),
    ]  # fmt: skip
    return [
        f"timing.{left} ({format_duration(getattr(t, left))}) should {words} timing.{right} "
        f"({format_duration(getattr(t, right))}): {effect}"
        for holds, left, right, words, effect in rules
        if not holds
    ]


def changes(old: Config, new: Config) -> tuple[list[str], list[str]]:
    """Dotted names of what differs: those that a reload may change, those that need a restart."""
    before, after = flat((), old), flat((), new)
    absent = object()
    names: tuple[list[str], list[str]] = ([], [])
    for path in sorted(before.keys() | after.keys()):
        if before.get(path, absent) != after.get(path, absent):
            found = find(SETTINGS, path)
            names[found is not None and not found.reload].append(".".join(path))
    return names


def reloaded(old: Config, new: Config) -> Config:
    """`new` as far as a reload may change things; what needs a restart stays as in `old`."""
    then, logged = old.timing, old.log
    timing = replace(new.timing, sweep_interval=then.sweep_interval, heartbeat=then.heartbeat)
    log = replace(new.log, file=logged.file, format=logged.format)
    stays = replace(new, db=old.db, synchronous=old.synchronous, pool=old.pool)
    return replace(stays, timing=timing, log=log)


def flat(path: Keys, value: Any) -> dict[Keys, object]:
    """Every single value of a configuration, or of a part of it, by its path."""
    if is_dataclass(value):
        inner = {each.name: getattr(value, each.name) for each in fields(value)}
    elif isinstance(value, Mapping):
        inner = dict(value)
    else:
        return {path: value}
    return {p: v for key, item in inner.items() for p, v in flat((*path, str(key)), item).items()}
