"""`jobd enqueue`: what it stores, what it prints, what it warns of."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobd.store import reading

Jobd = Callable[..., tuple[int, str, str]]


def test_enqueue_prints_the_id_in_a_sentence(jobd: Jobd, store: Any) -> None:
    """A new database is made, and the job is pending in it."""
    assert jobd("enqueue", "thumb") == (0, "enqueued job 1\n", "")
    assert store.status_of() == "pending"


def test_enqueue_prints_the_id_alone(jobd: Jobd) -> None:
    """-q is for scripts."""
    assert jobd("enqueue", "thumb", "-q") == (0, "1\n", "")


def test_enqueue_prints_an_object(jobd: Jobd) -> None:
    """--json says whether this call made the job."""
    assert json.loads(jobd("enqueue", "thumb", "--json")[1]) == {"id": 1, "created": True}


def test_enqueue_stores_every_option(jobd: Jobd, path: Path) -> None:
    """What the command line says is what the row holds."""
    jobd("enqueue", "thumb", "--payload", '{"path": "a.jpg"}', "--queue", "media",
         "--priority", "-7", "--in", "1h", "--timeout", "1m30s", "--max-retries", "0",
         "--unique", "k", "--request-id", "r")
    found = json.loads(jobd("show", "1", "--json")[1])
    assert found["payload"] == {"path": "a.jpg"}
    assert (found["queue"], found["priority"], found["timeout_ms"]) == ("media", -7, 90_000)
    assert (found["max_retries"], found["unique_key"], found["request_id"]) == (0, "k", "r")
    assert found["scheduled_at"] > found["created_at"]


def test_enqueue_reads_the_payload_from_a_file(jobd: Jobd, tmp_path: Path) -> None:
    """@FILE may begin with a byte order mark."""
    file = tmp_path / "payload.json"
    file.write_bytes(b'\xef\xbb\xbf{"n": 1}')
    jobd("enqueue", "thumb", "--payload", f"@{file}")
    assert json.loads(jobd("show", "1", "--json")[1])["payload"] == {"n": 1}


def test_enqueue_reads_the_payload_from_standard_input(path: Path, store: Any) -> None:
    """`-` in a real process with a real pipe."""
    command = [sys.executable, "-m", "jobd", "--db", str(path), "enqueue", "thumb",
               "--payload", "-", "-q"]
    done = subprocess.run(command, input=b'{"n": 1}', capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"1\n", b"")
    with store.opened() as database:
        found = reading.job(database.connection, 1)
    assert found is not None
    assert found["payload"] == '{"n":1}'


def test_enqueue_with_a_taken_unique_key_names_the_job(jobd: Jobd) -> None:
    """Nothing new is stored, and that is said."""
    jobd("enqueue", "thumb", "--unique", "nightly")
    assert jobd("enqueue", "thumb", "--unique", "nightly") == (
        0, "job 1 exists already (unique key nightly)\n", ""
    )


def test_enqueue_again_with_a_request_id_is_safe(jobd: Jobd) -> None:
    """The same id comes back, marked as not created."""
    jobd("enqueue", "thumb", "--request-id", "r")
    again = json.loads(jobd("enqueue", "thumb", "--request-id", "r", "--json")[1])
    assert again == {"id": 1, "created": False}


def test_unknown_type_is_silent_before_the_first_daemon(jobd: Jobd) -> None:
    """Nobody has said yet which types there are: only --strict minds, and stores nothing."""
    assert jobd("enqueue", "thumb")[::2] == (0, "")
    status, _, err = jobd("enqueue", "thumb", "--strict")
    assert status == 2
    assert "no daemon has said yet which job types it can run; nothing was stored" in err
    assert jobd("--json", "list")[1].count('"id"') == 1


def test_unknown_type_is_a_warning_with_the_nearest_name(jobd: Jobd, store: Any) -> None:
    """The job is stored all the same."""
    store.register("thumbnail", "mail")
    status, out, err = jobd("enqueue", "thumbnial")
    assert (status, out) == (0, "enqueued job 1\n")
    assert "no handler for job type thumbnial (did you mean thumbnail?)" in err
    assert err.count("\n") == 1


def test_known_type_gives_no_warning(jobd: Jobd, store: Any) -> None:
    """What the last daemon could run is fine."""
    store.register("thumbnail")
    assert jobd("enqueue", "thumbnail", "--strict")[::2] == (0, "")


def test_strict_refuses_an_unknown_type(jobd: Jobd, store: Any) -> None:
    """Exit 2, one sentence, nothing stored."""
    store.register("thumbnail")
    status, out, err = jobd("enqueue", "thumbnial", "--strict")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert jobd("list", "--json")[1] == "[]\n"
