"""config/example_handlers.py, run as its first lines say."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.harness import House, RunningDaemon

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture
def daemon(house: House) -> RunningDaemon:
    return house.start("--handlers", "example_handlers", "--path", str(CONFIG))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of a server that has one page."""
    class OnePage(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"a page")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), OnePage)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_a_folder_is_digested(house: House, daemon: RunningDaemon, tmp_path: Path) -> None:
    """Each file has its digest, and the last state is kept as a checkpoint."""
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / "in" / name).write_text(name)
    job_id = house.enqueue("checksum", {"folder": str(tmp_path / "in")})
    daemon.wait_for("job.completed", job_id=job_id)
    result = house.queue.get(job_id)["result"]
    assert result["files"] == 2
    assert result["digests"]["a"].startswith("ca978112ca1bbdcafac231b39a23dc4d")


def test_a_page_is_fetched(
    house: House, daemon: RunningDaemon, served: str, tmp_path: Path
) -> None:
    """The file stands there whole, and a second job of the same kind finds it done."""
    payload = {"url": served, "to": str(tmp_path / "page")}
    for _ in range(2):
        job_id = house.enqueue("download", payload)
        daemon.wait_for("job.completed", job_id=job_id)
    assert (tmp_path / "page").read_text() == "a page"
    assert not (tmp_path / "page.part").exists()


def test_a_refused_connection_is_tried_again(
    house: House, daemon: RunningDaemon, tmp_path: Path
) -> None:
    """Without a `try` in the handler the failure is `network`, and a retry waits."""
    payload = {"url": "http://127.0.0.1:1/", "to": str(tmp_path / "page")}
    job_id = house.enqueue("download", payload)
    outcome = daemon.wait_for("job.retry_scheduled", job_id=job_id)
    assert outcome["failure_type"] == "network"


def test_a_source_that_is_not_there_is_parked(
    house: House, daemon: RunningDaemon, tmp_path: Path
) -> None:
    """What no retry would mend waits for a person."""
    job_id = house.enqueue("convert", {"source": "/no/film", "to": str(tmp_path / "out")})
    outcome = daemon.wait_for("job.dead_lettered", job_id=job_id)
    assert outcome["failure_type"] == "validation"


def test_a_file_is_waited_for(house: House, daemon: RunningDaemon, tmp_path: Path) -> None:
    """While it is not there the job snoozes, uncharged; once it is, the job completes."""
    job_id = house.enqueue("await_file", {"path": str(tmp_path / "sign")})
    daemon.wait_for("job.snoozed", job_id=job_id)
    assert house.job(job_id)["retry_count"] == 0
    (tmp_path / "sign").touch()
    again = house.enqueue("await_file", {"path": str(tmp_path / "sign")})
    daemon.wait_for("job.completed", job_id=again)
