"""What is wrong with a configuration: all at once, each with its source and the way out."""

import tomllib
from collections.abc import Mapping

import pytest

from jobd.core.config import SETTINGS, load
from jobd.errors import ConfigurationError

NOTHING: Mapping[str, str] = {}


def problems(
    text: str = "",
    environment: Mapping[str, str] = NOTHING,
    flags: Mapping[str, object] | None = None,
) -> list[str]:
    with pytest.raises(ConfigurationError) as wrong:
        load(tomllib.loads(text), environment, flags or {}, file="jobd.toml")
    return wrong.value.problems


WRONG = {
    "db": ('""', "write a path in quotes"),
    "synchronous": ('"off"', 'write "full" or "normal"'),
    "pool.workers": ("257", "write a whole number from 1 to 256"),
    "pool.handlers": ('"myapp.jobs"', 'write a list of module names such as ["myapp.jobs"]'),
    "pool.path": ("[1]", 'write a list of directories such as ["/srv/myapp"]'),
    "pool.max_stuck_threads": ("true", "write a whole number from 0 to 1000"),
    "pool.max_threads": ("19", "write a whole number from 20 to 100000"),
    "pool.max_open_files": ("1.5", "write a number from 0.05 to 1"),
    "pool.isolation": ('"fork"', 'write "thread" or "process"'),
    "timing.sweep_interval": ('"0s"', "write a duration from 50 ms to 1 h"),
    "timing.heartbeat": ('"5"', 'write a duration such as "500ms", "30s"'),
    "timing.kill_grace": ("5", 'write a duration such as "5s"'),
    "timing.zombie_hold": ("1.5", 'write a duration such as "5s"'),
    "timing.stuck_after": ("[]", 'write a duration such as "5s"'),
    "timing.shutdown_grace": ("[]", 'write a duration such as "5s"'),
    "timing.timeout": ('"never"', 'write a duration such as "500ms", "30s", "10m", "2h" or "7d"'),
    "retry.network.max_retries": ("-1", "write a whole number from 0 to 1000"),
    "retry.network.backoff": ('"linaer"', 'did you mean "linear"? write "exponential", "linear"'),
    "retry.network.initial_delay": ("1", 'write a duration such as "1s"'),
    "retry.network.factor": ("0.5", "write a number from 1 to 100"),
    "retry.network.max_delay": ('"31d"', "write a duration from 0 s to 30 days"),
    "retry.network.jitter": ("nan", "write a number from 0 to 1"),
    "retry.network.exhausted": ('"dead"', 'write "dead_letter" or "failed"'),
    "classify.ValueError": ('"netwrok"', 'did you mean "network"? write "network", "timeout"'),
    "queues.media.concurrency": ("0", "write a whole number from 1 to 256"),
    "commands.path": ("1", "write directories with"),
    "commands.environment": ("1", "write a list of names of variables"),
    "commands.max_output": ('"10 MiB"', "write a whole number from 1 to 268435456"),
    "log.level": ('"INFO"', 'write "debug", "info", "warning" or "error"'),
    "log.format": ('"xml"', 'write "auto", "json" or "pretty"'),
    "log.file": ("1", "write a path in quotes"),
    "limits.max_payload": ("0", "write a whole number from 1 to 268435456"),
    "limits.max_result": ('"1 MiB"', "write a whole number from 1 to 268435456"),
    "retention.completed": ('"0s"', 'write a duration from 1 s to 36525 days'),
    "retention.ended": ("7", 'write a duration such as "7s"'),
    "alerts.command": ('"mail"', 'write a list of a program and its arguments such as'),
    "alerts.timeout": ("30", 'write a duration such as "30s"'),
    "alerts.max_age": ('"0s"', "write a duration from 100 ms"),
    "metrics.file": ("1", "write a path in quotes"),
    "metrics.interval": ('"none"', 'write a duration such as "500ms"'),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_one_problem_that_says_the_way_out(name: str) -> None:
    """The problem names the source, the key and the value."""
    value, way_out = WRONG[name]
    (problem,) = problems(f"{name} = {value}")
    assert problem.startswith(f"jobd.toml: {name} = {value}: ")
    assert way_out in problem


def test_the_table_of_wrong_values_holds_every_setting() -> None:
    """A setting that is added needs a wrong value here; [retry.network] stands for all types."""
    own = {"classify.ValueError": "classify.*", "queues.media.concurrency": "queues.*.concurrency"}
    tried = {own.get(name, name) for name in WRONG}
    retry = {each.name for path, each in SETTINGS.items() if path[0] == "retry"}
    assert {each.name for each in SETTINGS.values()} - retry <= tried
    assert {name.split(".")[2] for name in retry} == {
        name.split(".")[2] for name in tried if name.startswith("retry.")
    }


def test_three_mistakes_are_reported_at_once() -> None:
    """A misspelt key, a misspelt variable and a wrong flag, each with its source."""
    found = problems("pool.wrokers = 8", {"JOBD_LOG_LEVLE": "info"}, {"log.format": "jsn"})
    assert found == [
        "jobd.toml: unknown setting pool.wrokers; did you mean pool.workers?",
        "environment: unknown variable JOBD_LOG_LEVLE; did you mean JOBD_LOG_LEVEL?",
        'command line: log.format = "jsn": did you mean "json"? write "auto", "json" or "pretty"',
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("workers = 3", "unknown setting workers; did you mean pool.workers?"),
        ("[timming]", "unknown setting timming; did you mean timing?"),
        ("timming.heartbeat = '1s'", "unknown setting timming.heartbeat; "
         "did you mean timing.heartbeat?"),
        ("retry.netwrok.factor = 2", "unknown setting retry.netwrok.factor; "
         "did you mean retry.network.factor?"),
        ("queues.media.concurency = 2", "unknown setting queues.media.concurency; "
         "did you mean queues.media.concurrency?"),
        ("quux = 1", "unknown setting quux"),
        ("pool = 3", "pool = 3: this is a table; write [pool] and its settings beneath"),
        ("queues.media = 3", "queues.media = 3: this is a table; "
         "write [queues.media] and its settings beneath"),
        ("[pool.workers]", "pool.workers = {}: write a whole number from 1 to 256"),
        ("[queues.'a b']", "queues.a b: queue 'a b' is no name; "
         "write 1 to 128 of the characters A-Z a-z 0-9 . _ : -"),
        ("[classify]\n'a-b' = 'network'", "classify.a-b: write an exception class "
         'such as "requests.exceptions.ConnectionError"'),
        (r'"a\n\u001b" = 1', r"unknown setting a\n\x1b"),
        ("db = 2026-11-22", "db = datetime.date(2026, 11, 22): write a path in quotes"),
    ],
)  # fmt: skip
def test_a_key_that_does_not_fit_is_named(text: str, problem: str) -> None:
    """A misspelt key gets a suggestion; a table and a value are told apart."""
    assert problems(text) == [f"jobd.toml: {problem}"]


def test_a_value_that_is_covered_is_checked_all_the_same() -> None:
    """A flag does not hide a mistake in the file."""
    assert len(problems("pool.workers = 0", {"JOBD_POOL_WORKERS": "x"}, {"pool.workers": 1})) == 2


def test_a_queue_cannot_be_set_by_a_variable() -> None:
    """Names that the user chooses have no variable."""
    (problem,) = problems(environment={"JOBD_QUEUES_MEDIA_CONCURRENCY": "2"})
    assert problem.startswith("environment: unknown variable JOBD_QUEUES_MEDIA_CONCURRENCY")


def test_a_long_or_unprintable_value_is_quoted_short_and_safe() -> None:
    """A problem is one printable line, whatever the value."""
    for value in ("x" * 5_000, "\x1b[31m", "a\nb", "\udcff"):
        (problem,) = problems(environment={"JOBD_LOG_LEVEL": value})
        assert problem.isprintable()
        assert len(problem) < 200
