"""The configuration: its sources, its problems, its timer relations, its reload."""

import tomllib
from collections.abc import Mapping

import pytest

from jobd import errors
from jobd.core.config import SETTINGS, Config, changes, load, relations, reloaded
from jobd.core.lifecycle import FailureType
from jobd.core.policy import DEFAULT_POLICIES
from jobd.core.sections import QueueSettings

NOTHING: Mapping[str, str] = {}


def from_file(text: str) -> Config:
    return load(tomllib.loads(text), NOTHING, {})


def test_without_any_source_all_is_default() -> None:
    """Nothing has to be configured."""
    assert load({}, NOTHING, {}) == Config()


FULL = """
db = "/srv/jobd.db"
synchronous = "normal"
[pool]
workers = 8
handlers = ["myapp.jobs", "other"]
path = ["/srv/myapp"]
max_stuck_threads = 0
[timing]
sweep_interval = "500ms"
heartbeat = "10s"
kill_grace = "0"
zombie_hold = "1h"
shutdown_grace = "1m30s"
timeout = "2h"
[classify]
"requests.exceptions.ConnectionError" = "network"
ValueError = "validation"
[queues.media]
concurrency = 2
[queues.mail]
[log]
level = "debug"
format = "json"
file = "/var/log/jobd.log"
[limits]
max_payload = 2048
max_result = 4096
"""


def test_a_file_sets_everything() -> None:
    """Durations become seconds, lists tuples, failure types members of the enum."""
    config = from_file(FULL)
    assert (config.db, config.synchronous) == ("/srv/jobd.db", "normal")
    assert (config.pool.workers, config.pool.max_stuck_threads) == (8, 0)
    assert config.pool.handlers == ("myapp.jobs", "other")
    assert config.pool.path == ("/srv/myapp",)
    timing = config.timing
    assert (timing.sweep_interval, timing.heartbeat, timing.kill_grace) == (0.5, 10, 0)
    assert (timing.zombie_hold, timing.shutdown_grace, timing.timeout) == (3600, 90, 7200)
    assert config.classify["requests.exceptions.ConnectionError"] is FailureType.NETWORK
    assert config.queues == {"media": QueueSettings(2), "mail": QueueSettings(None)}
    assert (config.log.level, config.log.format) == ("debug", "json")
    assert (config.limits.max_payload, config.limits.max_result) == (2048, 4096)


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default() -> None:
    """Each source covers those beneath it, setting by setting."""
    file = {"pool": {"workers": 2, "max_stuck_threads": 2, "path": ["/two"]}}
    environment = {"JOBD_POOL_WORKERS": "3", "JOBD_POOL_MAX_STUCK_THREADS": "3"}
    pool = load(file, environment, {"pool.workers": 5}).pool
    assert (pool.workers, pool.max_stuck_threads, pool.path, pool.handlers) == (5, 3, ("/two",), ())


@pytest.mark.parametrize(("variable", "near"), [
    ("JOBD_NOPE", None), ("JOBD_X", None), ("JOBD_DBS", "JOBD_DB"),
    ("JOBD_POOL_WORKER", "JOBD_POOL_WORKERS"), ("JOBD_LOGFILE", "JOBD_LOG_FILE"),
])
def test_only_a_near_variable_is_suggested(variable: str, near: str | None) -> None:
    """The prefix that all have in common makes nothing near."""
    with pytest.raises(errors.ConfigurationError) as caught:
        load({}, {variable: "1"}, {})
    problem = f"environment: unknown variable {variable}"
    assert caught.value.problems == [f"{problem}; did you mean {near}?" if near else problem]


def test_a_flag_that_was_not_given_is_none() -> None:
    """Verbs hand over what argparse left, and text is read as in the environment."""
    flags = {"pool.workers": None, "timing.timeout": "none", "pool.handlers": ["a", "b.c"]}
    config = load({"timing": {"timeout": "5s"}}, NOTHING, flags)
    assert (config.pool.workers, config.timing.timeout) == (4, None)
    assert config.pool.handlers == ("a", "b.c")


@pytest.mark.parametrize(
    ("variable", "text", "path", "value"),
    [
        ("JOBD_DB", "/a.db", "db", "/a.db"),
        ("JOBD_SYNCHRONOUS", "normal", "synchronous", "normal"),
        ("JOBD_POOL_WORKERS", "8", "pool.workers", 8),
        ("JOBD_POOL_HANDLERS", "a:b.c:", "pool.handlers", ("a", "b.c")),
        ("JOBD_TIMING_KILL_GRACE", "1m", "timing.kill_grace", 60),
        ("JOBD_TIMING_TIMEOUT", "none", "timing.timeout", None),
        ("JOBD_LOG_LEVEL", "error", "log.level", "error"),
        ("JOBD_LIMITS_MAX_PAYLOAD", "10", "limits.max_payload", 10),
        ("JOBD_POOL_WORKERS", "", "pool.workers", 4),
    ],
)
def test_the_environment_spells_a_setting_in_capitals(
    variable: str, text: str, path: str, value: object
) -> None:
    """pool.workers is JOBD_POOL_WORKERS; ":" separates lists; an empty variable is not set."""
    found: object = load({}, {variable: text, "PATH": "/bin"}, {})
    for part in path.split("."):
        found = getattr(found, part)
    assert found == value


def test_every_setting_with_a_fixed_name_has_its_own_variable() -> None:
    """No two settings share one, and none is that of the configuration file."""
    variables = [each.variable for path, each in SETTINGS.items() if "*" not in path]
    assert len(set(variables)) == len(variables)
    assert "JOBD_CONFIG" not in variables


def test_jobd_config_is_not_a_setting() -> None:
    """The variable that names the file may stand in the environment."""
    assert load({}, {"JOBD_CONFIG": "/x"}, {}) == Config()


def test_retry_default_lies_beneath_each_failure_type() -> None:
    """A type's own table beats [retry.default], which beats what is built in."""
    retry = from_file("""
        [retry.default]
        factor = 3
        max_delay = "1h"
        [retry.network]
        factor = 4
    """).retry
    assert (retry[FailureType.NETWORK].factor, retry[FailureType.SYSTEM].factor) == (4, 3)
    assert retry[FailureType.NETWORK].max_delay == 3600
    assert retry[FailureType.WORKER_LOST].factor == 3
    assert retry[FailureType.NETWORK].initial_delay == 1


@pytest.mark.parametrize(
    ("failure_type", "built_in", "beneath_five"),
    [
        ("network", 3, 5),
        ("timeout", 3, 5),
        ("resource", 3, 5),
        ("system", 3, 5),
        ("unknown", 3, 5),
        ("worker_lost", 3, 3),
        ("permission", 0, 0),
        ("configuration", 0, 0),
        ("validation", 0, 0),
    ],
)
def test_four_types_take_their_limit_from_their_own_table(
    failure_type: str, built_in: int, beneath_five: int
) -> None:
    """[retry.default] max_retries = 5 does not retry what retrying cannot mend."""
    kind = FailureType(failure_type)
    assert DEFAULT_POLICIES[kind].max_retries == built_in
    assert from_file("retry.default.max_retries = 5").retry[kind].max_retries == beneath_five
    assert from_file(f"retry.{kind}.max_retries = 1").retry[kind].max_retries == 1


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ('kill_grace = "30s"', "timing.kill_grace (30 s) should be less than "
         "timing.shutdown_grace (30 s)"),
        ('kill_grace = "500ms"', "timing.sweep_interval (1 s) should not exceed "
         "timing.kill_grace (500 ms)"),
        ('heartbeat = "500ms"', "timing.sweep_interval (1 s) should not exceed "
         "timing.heartbeat (500 ms)"),
        ('zombie_hold = "9s"', "timing.sweep_interval (1 s) should be at most a tenth of "
         "timing.zombie_hold (9 s)"),
    ],
)  # fmt: skip
def test_timers_that_do_not_fit_each_other_are_a_warning(text: str, warning: str) -> None:
    """The daemon starts all the same; `check` shows the warning with its effect."""
    (found,) = relations(from_file(f"[timing]\n{text}"))
    assert found.startswith(warning)


def test_the_default_timers_fit_each_other() -> None:
    """Nobody is warned of what jobd chose itself."""
    assert relations(Config()) == []


def test_a_reload_says_what_it_can_change_and_what_it_cannot() -> None:
    """SIGHUP changes policies, queues and most timers; the rest needs a restart."""
    reloaded, restart = changes(Config(), from_file(FULL + "[retry.network]\nfactor = 9"))
    assert reloaded == [
        "classify.ValueError",
        "classify.requests.exceptions.ConnectionError",
        "limits.max_payload",
        "limits.max_result",
        "log.level",
        "queues.mail.concurrency",
        "queues.media.concurrency",
        "retry.network.factor",
        "timing.kill_grace",
        "timing.shutdown_grace",
        "timing.timeout",
        "timing.zombie_hold",
    ]
    assert restart == [
        "db",
        "log.file",
        "log.format",
        "pool.handlers",
        "pool.max_stuck_threads",
        "pool.path",
        "pool.workers",
        "synchronous",
        "timing.heartbeat",
        "timing.sweep_interval",
    ]


def test_the_same_configuration_has_no_changes() -> None:
    """A reload of an unchanged file is silent."""
    assert changes(from_file(FULL), from_file(FULL)) == ([], [])


def test_a_configuration_cannot_be_changed_in_place() -> None:
    """Threads share it without a lock."""
    with pytest.raises(TypeError):
        from_file(FULL).queues["x"] = QueueSettings()  # type: ignore[index]


def test_a_reload_changes_nothing_that_needs_a_restart() -> None:
    """What `changes` lists as needing a restart keeps its old value, everything else is new."""
    tables = {
        "synchronous": "normal",
        "pool": {"workers": 9, "isolation": "process"},
        "timing": {"sweep_interval": "2s", "heartbeat": "9s", "kill_grace": "1s"},
        "log": {"level": "debug", "format": "json", "file": "/x"},
        "limits": {"max_payload": 5},
    }
    old, new = Config(), load(tables, {}, {})
    taken, ignored = changes(old, new)
    assert (taken, []) == changes(old, reloaded(old, new))
    assert ignored != []
