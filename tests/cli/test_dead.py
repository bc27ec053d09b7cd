"""`jobd dead`: what the groups are, and what is retried without a daemon."""

import json
from collections.abc import Callable

import pytest

from jobd.core.new_job import NewJob
from jobd.store import dead_letters, outcomes
from jobd.store.enqueue import enqueue
from tests.cli.conftest import NOW, Store

Verb = Callable[..., tuple[int, str, str]]


def park(store: Store, message: str, job_type: str = "thumb", **options: str) -> int:
    """A new job in dead_letter, with this error."""
    with store.opened() as database, database.transaction() as db:
        job_id = enqueue(db, NewJob(job_type, "{}", **options), NOW)  # type: ignore[arg-type]
    store.claim(job_id)
    store.settle(outcomes.park, job_id, error_message=message)
    return job_id


@pytest.fixture
def causes(store: Store) -> Store:
    """Twelve jobs that were refused, and two of another cause."""
    for number in range(12):
        park(store, f"10.0.0.{number} refused")
    park(store, "no such customer 'ann'", "invoice")
    park(store, "no such customer 'bob'", "invoice")
    return store


def fingerprints(jobd: Verb) -> list[str]:
    return [group["fingerprint"] for group in json.loads(jobd("dead", "--json")[1])]


def test_dead_letters_are_grouped_by_cause(jobd: Verb, causes: Store) -> None:
    """Two lines for fourteen jobs."""
    status, out, _ = jobd("dead")
    assert status == 0
    head, first, second = out.splitlines()
    assert head.split()[:2] == ["FINGERPRINT", "COUNT"]
    assert first.split()[1] == "12"
    assert "thumb" in first
    assert "<n> refused" in first
    assert second.split()[1] == "2"
    assert "no such customer <text>" in second


def test_json_has_every_key(jobd: Verb, causes: Store) -> None:
    """The shape of a group is a contract."""
    first, second = json.loads(jobd("dead", "--json")[1])
    assert first | {"fingerprint": ""} == {
        "fingerprint": "", "job_type": "thumb", "failure_type": "network",
        "error": "<n> refused", "count": 12, "oldest_at": "2027-01-15T08:00:01.000Z",
        "newest_at": "2027-01-15T08:00:01.000Z", "example_id": 12, "still_executing": 0,
    }
    assert (second["count"], second["example_id"]) == (2, 14)


def test_without_any_it_says_so(jobd: Verb, store: Store) -> None:
    """An empty list is no error."""
    store.register()
    assert jobd("dead") == (0, "no dead letters\n", "")
    assert jobd("dead", "--json") == (0, "[]\n", "")


def test_types_and_queues_may_be_named(jobd: Verb, causes: Store) -> None:
    """Only their jobs are counted."""
    assert len(json.loads(jobd("dead", "--type", "invoice", "--json")[1])) == 1
    assert jobd("dead", "--queue", "media")[1] == "no dead letters\n"


def test_a_limit_tells_what_it_leaves_out(jobd: Verb, causes: Store) -> None:
    """Nothing is hidden in silence."""
    assert jobd("dead", "--limit", "1")[1].splitlines()[-1] == (
        "and 1 more group; --limit N shows more"
    )


def test_one_group_is_shown_with_its_ids(jobd: Verb, causes: Store) -> None:
    """And what to type next."""
    small = fingerprints(jobd)[1]
    status, out, _ = jobd("dead", "show", small)
    assert status == 0
    assert "2 jobs of type invoice" in out
    assert "ids: 13 14\n" in out
    assert out.splitlines()[-1] == f"to retry them: jobd dead retry {small}"
    assert json.loads(jobd("dead", "show", small, "--json")[1])["ids"] == [13, 14]


@pytest.mark.parametrize("words", [("show", "nope"), ("retry", "nope")])
def test_an_unknown_fingerprint_is_named(jobd: Verb, causes: Store, words: tuple[str]) -> None:
    """With the verb that lists those that exist."""
    status, _, err = jobd("dead", *words)
    assert (status, err) == (1, "jobd: no dead letters have the fingerprint 'nope'; "
                                "`jobd dead` lists them\n")


def test_what_to_retry_must_be_said(jobd: Verb, causes: Store) -> None:
    """Either fingerprints or all."""
    assert jobd("dead", "retry")[0] == 2
    assert jobd("dead", "retry", "--all", "abc")[0] == 2


def test_a_small_group_is_retried_at_once(jobd: Verb, causes: Store) -> None:
    """Ten or fewer need no canary, and no daemon."""
    small = fingerprints(jobd)[1]
    assert jobd("dead", "retry", small) == (0, f"{small}: retried 2\n", "")
    assert [causes.status_of(job_id) for job_id in (12, 13, 14)] == [
        "dead_letter", "pending", "pending",
    ]


def test_a_large_group_needs_a_daemon_for_its_canary(jobd: Verb, causes: Store) -> None:
    """Without one nothing is touched, and the way out is said."""
    status, _, err = jobd("dead", "retry", "--all")
    assert (status, "--no-canary" in err) == (69, True)
    assert {causes.status_of(job_id) for job_id in range(1, 15)} == {"dead_letter"}


def test_without_canaries_all_are_retried(
    jobd: Verb, causes: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page after page, slice after slice."""
    monkeypatch.setattr(dead_letters, "PAGE", 5)
    monkeypatch.setattr("jobd.cli.dead_retry.AT_ONCE", 3)
    large, small = fingerprints(jobd)
    status, out, _ = jobd("dead", "retry", "--all", "--no-canary")
    assert status == 0
    assert set(out.splitlines()) == {f"{large}: retried 12", f"{small}: retried 2"}
    assert {causes.status_of(job_id) for job_id in range(1, 15)} == {"pending"}


def test_a_dry_run_says_what_it_would_do(jobd: Verb, causes: Store) -> None:
    """And touches nothing."""
    large, small = fingerprints(jobd)
    assert jobd("dead", "retry", "--all", "--dry-run") == (
        0, f"{large}: would retry 12 jobs, job 12 first\n"
        f"{small}: would retry 2 jobs, job 14 first\n", "",
    )
    found = json.loads(jobd("dead", "retry", "--all", "--dry-run", "--json")[1])
    assert [each["canary_id"] for each in found] == [12, 14]
    assert {causes.status_of(job_id) for job_id in range(1, 15)} == {"dead_letter"}


def test_the_canary_rule_counts_over_the_whole_release(jobd: Verb, store: Store) -> None:
    """Six groups of two are twelve jobs: one of each goes first, but not who is alone."""
    for name in ("a", "b", "c", "d", "e", "f"):
        park(store, "refused", name)
        park(store, "refused", name)
    alone = park(store, "refused", "g")
    found = json.loads(jobd("dead", "retry", "--all", "--dry-run", "--json")[1])
    assert sorted(str(each["canary_id"]) for each in found) == sorted(
        [*map(str, range(2, alone, 2)), "None"]
    )
    assert jobd("dead", "retry", "--all")[0] == 69
    three = [each["fingerprint"] for each in found if each["count"] == 2][:3]
    assert jobd("dead", "retry", *three)[1].count("retried 2") == 3


def test_one_job_is_not_spoken_of_as_several(jobd: Verb, store: Store) -> None:
    """In the group, in the plan, and in what to type."""
    park(store, "refused")
    (only,) = fingerprints(jobd)
    shown = jobd("dead", "show", only)[1]
    assert shown.startswith("1 job of type thumb, parked ")
    assert shown.splitlines()[-1] == f"to retry it: jobd dead retry {only}"
    assert jobd("dead", "retry", only, "--dry-run")[1] == f"{only}: would retry 1 job at once\n"


def test_jobs_that_may_not_be_retried_are_counted(jobd: Verb, store: Store) -> None:
    """One whose unique key another job holds, and one that may still be executing."""
    park(store, "refused", unique_key="k")
    park(store, "refused")
    with store.opened() as database, database.transaction() as db:
        enqueue(db, NewJob("thumb", "{}", unique_key="k"), NOW)
        db.execute("UPDATE job_queue SET execution_over = 0 WHERE id = 2")
    park(store, "refused")
    (only,) = fingerprints(jobd)
    assert jobd("dead", "retry", only)[1] == (
        f"{only}: retried 1, skipped 2 (their unique key is taken, or they may still be "
        "executing)\n"
    )
