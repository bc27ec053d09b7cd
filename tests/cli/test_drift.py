"""A schema that another hand has changed, or of another version: said by each face in its words."""

import json
from collections.abc import Callable

import pytest

from tests.cli.conftest import Store

Jobd = Callable[..., tuple[int, str, str]]

RAW = ("OperationalError", "IntegrityError", "no such", "has no column")
"""What SQLite says, and a person need not read."""


def change(store: Store, statement: str) -> None:
    with store.opened() as database:
        database.connection.execute(statement)


@pytest.fixture
def drifted(jobd: Jobd, store: Store) -> None:
    """One job, and no trigger to guard its moves."""
    jobd("enqueue", "thumb")
    change(store, "DROP TRIGGER job_queue_moves")


@pytest.mark.parametrize("words", [("enqueue", "thumb"), ("exec", "--", "true")])
def test_who_puts_a_job_in_is_told_that_nothing_starts(
    jobd: Jobd, drifted: None, store: Store, words: tuple[str, ...]
) -> None:
    """The job is stored, for its own statement fits; what mends the rest is said beside it."""
    status, _, err = jobd(*words)
    assert (status, store.count()) == (0, 2)
    assert "job_queue_moves" in err
    assert "(`jobd migrate repair`)" in err


def test_prune_refuses_to_delete_from_what_does_not_fit(jobd: Jobd, drifted: None) -> None:
    """A trigger that is gone may be one that keeps count of what is deleted."""
    status, out, err = jobd("prune")
    assert (status, out) == (78, "")
    assert "jobd migrate repair" in err


@pytest.mark.parametrize("words", ["health", "explain 1"])
def test_nobody_is_sent_to_a_start_that_refuses(jobd: Jobd, drifted: None, words: str) -> None:
    """Not `jobd run`, but what mends the schema."""
    _, out, _ = jobd(*words.split())
    assert "job_queue_moves" in out
    assert "\n    jobd migrate repair\n" in out
    assert "\n    jobd run\n" not in out


def test_an_older_schema_is_a_finding_of_health(jobd: Jobd, store: Store) -> None:
    """Down, with the command that brings it up; before, it was no verdict at all."""
    jobd("enqueue", "thumb")
    assert jobd("migrate", "down", "--to", "3")[0] == 0
    status, out, err = jobd("health", "--json")
    assert (status, err) == (69, "")
    found = {each["cause"]: each["next_command"] for each in json.loads(out)["problems"]}
    assert found == {"schema": "jobd migrate up", "no_daemon": "jobd migrate up"}


def test_a_start_that_a_missing_module_would_refuse_is_not_advised(
    jobd: Jobd, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor one with a broken configuration."""
    store.register("thumb")
    jobd("enqueue", "thumb")
    monkeypatch.setenv("JOBD_POOL_HANDLERS", "no_such_module")
    for words in ("health", "explain 1"):
        out = jobd(*words.split())[1]
        assert "\n    jobd check\n" in out
        assert "\n    jobd run\n" not in out
    monkeypatch.setenv("JOBD_POOL_HANDLERS", "")
    monkeypatch.setenv("JOBD_POOL_WORKERS", "many")
    assert "\n    jobd check\n" in jobd("explain", "1")[1]


@pytest.mark.parametrize(("statement", "words"), [
    ("ALTER TABLE job_queue RENAME COLUMN payload TO load", "enqueue thumb"),
    ("ALTER TABLE job_queue RENAME COLUMN payload TO load", "exec -- true"),
    ("ALTER TABLE job_queue DROP COLUMN snooze_count", "retry 1"),
    ("DROP TABLE operator_actions", "explain 1"),
    ("DROP TABLE operator_actions", "cancel 1"),
    ("DROP TABLE operator_actions", "health"),
    ("DROP TABLE workers", "health"),
    ("DROP TABLE workers", "status"),
])
def test_what_sqlite_says_is_told_as_drift(
    jobd: Jobd, store: Store, statement: str, words: str
) -> None:
    """With the verb that names every difference, or the one that mends it."""
    store.dead()
    change(store, statement)
    status, out, err = jobd(*words.split())
    assert status in (78, 69)
    assert "`jobd migrate verify`" in err or "jobd migrate repair" in out
    assert not [raw for raw in RAW if raw in out + err]
