"""The verbs that show jobs: list, show, history, explain, wait; and what may be printed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobd.cli import table
from jobd.store import outcomes

Jobd = Callable[..., tuple[int, str, str]]


def test_list_prints_the_newest_first(jobd: Jobd) -> None:
    """A table with one line per job under the names of the columns."""
    for job_type in ("first", "second"):
        jobd("enqueue", job_type)
    head, *lines = jobd("list")[1].splitlines()
    assert head.split()[:3] == ["ID", "JOB", "TYPE"]
    assert [line.split()[1] for line in lines] == ["second", "first"]


def test_list_of_nothing_says_so(jobd: Jobd) -> None:
    """For a person a word, for a program an empty array."""
    jobd("enqueue", "thumb")
    assert jobd("list", "--queue", "none")[1] == "no jobs\n"
    assert json.loads(jobd("list", "--queue", "none", "--json")[1]) == []


def test_list_filters(jobd: Jobd) -> None:
    """By status, queue and type together."""
    jobd("enqueue", "a", "--queue", "x")
    jobd("enqueue", "a", "--queue", "y")
    jobd("enqueue", "b", "--queue", "y")
    found = jobd("list", "--status", "pending", "--queue", "y", "--type", "a", "--json")[1]
    assert [job["id"] for job in json.loads(found)] == [2]


def test_list_says_when_there_may_be_more(jobd: Jobd) -> None:
    """The limit is named on standard error, so that pipes stay clean."""
    for _ in range(3):
        jobd("enqueue", "thumb")
    status, out, err = jobd("list", "--limit", "2")
    assert (status, len(out.splitlines())) == (0, 3)
    assert "newest 2" in err


def test_list_reads_more_than_one_page(jobd: Jobd, store: Any) -> None:
    """450 jobs come from three reads, each once."""
    with store.opened() as database, database.transaction() as db:
        db.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 450) "
            "INSERT INTO job_queue (job_type, created_at) SELECT 'thumb', 0 FROM n"
        )
    found = json.loads(jobd("list", "--limit", "1000", "--json")[1])
    assert [job["id"] for job in found] == list(range(450, 0, -1))


def test_show_json_has_values_and_times(jobd: Jobd, store: Any) -> None:
    """Payload and result are JSON values, times ISO 8601, attempts an array."""
    jobd("enqueue", "thumb", "--payload", '{"n": [1]}')
    store.claim()
    store.complete()
    found = json.loads(jobd("--json", "show", "1")[1])
    assert (found["payload"], found["result"], found["attempts"]) == ({"n": [1]}, {"size": 3}, [])
    assert found["completed_at"] == "2027-01-15T08:00:01.000Z"
    assert found["execution_over"] is True


def test_show_of_several_is_an_array(jobd: Jobd) -> None:
    """One id gives an object, several give an array."""
    jobd("enqueue", "thumb")
    jobd("enqueue", "thumb")
    assert [job["id"] for job in json.loads(jobd("show", "2", "1", "--json")[1])] == [2, 1]


def test_show_tells_what_failed(jobd: Jobd, store: Any) -> None:
    """The card names each attempt with its reason, stack and traceback."""
    jobd("enqueue", "thumb")
    store.claim()
    store.settle(outcomes.park, traceback="Traceback\n  line", stack="File x\n  hang")
    out = jobd("show", "1")[1]
    for part in ("job 1: dead_letter", "worn out", "attempt 1: dead_letter", "network: refused",
                 "  hang", "  line"):
        assert part in out


def test_show_goes_on_after_an_unknown_id(jobd: Jobd) -> None:
    """The others are shown; exit 1 names the one that is not there."""
    jobd("enqueue", "thumb")
    status, out, err = jobd("show", "9", "1")
    assert (status, err) == (1, "jobd: no job 9: the last id is 1\n")
    assert out.startswith("job 1: pending")


def test_history_tells_events_in_order(jobd: Jobd, store: Any) -> None:
    """Enqueued, claimed, failed, then what a person did."""
    store.dead()
    jobd("retry", "1")
    events = json.loads(jobd("history", "1", "--json")[1])
    names = [event["event"] for event in sorted(events, key=lambda event: event["at"])]
    assert [event["event"] for event in events] == names
    assert {"job.enqueued", "job.claimed", "job.started", "job.dead_lettered",
            "operator.retry"} <= set(names)
    assert next(event for event in events if event["event"] == "operator.retry")["actor"] == "ann"


def test_history_prints_one_line_per_event(jobd: Jobd, store: Any) -> None:
    """Text from a job cannot make two lines of one."""
    jobd("enqueue", "thumb")
    store.claim()
    store.settle(outcomes.park, error_message="refused\n2027 job 2 job.completed")
    lines = jobd("history", "1")[1].splitlines()
    assert len(lines) == 4
    assert any("network: refused\\n2027" in line for line in lines)


def test_explain_prints_a_paragraph_and_a_command(jobd: Jobd) -> None:
    """The command stands alone at the end."""
    jobd("enqueue", "thumb")
    status, out, _ = jobd("explain", "1")
    assert status == 0
    assert out.startswith("Job 1 (thumb) waits in queue default.")
    assert out.endswith("\n\n    jobd run\n")


def test_explain_json_is_an_object(jobd: Jobd) -> None:
    """id, status, text and next_command."""
    jobd("enqueue", "thumb")
    found = json.loads(jobd("explain", "1", "--json")[1])
    assert list(found) == ["id", "status", "text", "next_command"]


def test_explain_of_an_unknown_job(jobd: Jobd) -> None:
    """Exit 1 naming it."""
    jobd("enqueue", "thumb")
    assert jobd("explain", "9") == (1, "", "jobd: no job 9: the last id is 1\n")


def test_wait_for_completed_jobs(jobd: Jobd, store: Any) -> None:
    """Exit 0 at once, one line each."""
    jobd("enqueue", "thumb")
    store.claim()
    store.complete()
    assert jobd("wait", "1") == (0, "job 1 completed\n", "")


def test_wait_fails_when_one_did_not_complete(jobd: Jobd, store: Any) -> None:
    """dead_letter is an end, but no success."""
    store.dead()
    assert jobd("wait", "1") == (1, "job 1 dead_letter\n", "")


def test_wait_gives_up_after_its_timeout(jobd: Jobd) -> None:
    """Exit 1, naming the job and where it stands."""
    jobd("enqueue", "thumb")
    assert jobd("wait", "1", "--timeout", "60ms") == (
        1, "", "jobd: job 1 has not ended after 60ms; it is pending\n"
    )


def test_wait_sees_a_job_end_in_another_process(path: Path, store: Any) -> None:
    """It returns once the commit is there, without a daemon to tell it."""
    with store.opened() as database, database.transaction() as db:
        db.execute("INSERT INTO job_queue (job_type, created_at) VALUES ('thumb', 0)")
    command = [sys.executable, "-m", "jobd", "--db", str(path)]
    waiting = subprocess.Popen([*command, "wait", "1", "--timeout", "20s"], stdout=subprocess.PIPE)
    subprocess.run([*command, "cancel", "1"], check=True, capture_output=True)
    out, _ = waiting.communicate(timeout=20)
    assert (waiting.returncode, out) == (1, b"job 1 cancelled\n")


def test_text_of_a_job_cannot_drive_the_terminal(jobd: Jobd, store: Any) -> None:
    """Control characters, C1, bidi overrides and separators come as escapes, on every face."""
    evil = "a\x1b[31m\x9b\u202e\u2066\u2028\x07z"
    jobd("enqueue", "thumb")
    store.claim()
    store.settle(outcomes.park, error_message=evil, dead_letter_reason=evil,
           traceback=evil, stack=evil)
    for words in (["list"], ["show", "1"], ["history", "1"], ["explain", "1"],
                  ["show", "1", "--json"], ["list", "--json"]):
        _, out, _ = jobd(*words)
        assert not set(out) & set("\x1b\x9b\u202e\u2066\u2028\x07"), words


@pytest.mark.parametrize("text", ["plain", "Ünïcödé", "日本\u3000語", "a\xa0b"])
def test_ordinary_text_is_printed_as_it_is(text: str) -> None:
    """Letters of any script and their spaces are harmless."""
    assert table.printable(text) == text


def test_table_aligns_numbers_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    """Text to the left, nothing as a dash."""
    table.print_table([{"id": 7, "name": "a"}, {"id": 100, "name": None}], ["id", "name"])
    assert capsys.readouterr().out == " ID  NAME\n  7  a\n100  -\n"
