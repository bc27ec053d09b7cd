"""Running verbs in this process, and the store's own verbs to bring jobs into any status."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobd.cli.main import main
from jobd.core.job import AttemptOutcome, Settlement
from jobd.core.lifecycle import FailureType
from jobd.core.new_job import NewJob
from jobd.store import completion, daemons, outcomes, reading
from jobd.store.connection import Database
from jobd.store.enqueue import enqueue
from jobd.store.opening import open_database
from tests.store.conftest import claim_ids

NOW = 1_800_000_000_000
DAEMON = daemons.DaemonIdentity("d1", 4711, None, "0.1.0")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobd.db"


@pytest.fixture
def jobd(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run one verb; returns exit status, standard output and standard error."""
    monkeypatch.setenv("HOME", str(path.parent))
    monkeypatch.setenv("LOGNAME", "ann")

    def run(*words: str) -> tuple[int, str, str]:
        status = main(["--db", str(path), *words])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.fixture
def store(path: Path) -> "Store":
    return Store(path)


class Store:
    """What a daemon does to the database of the test, by the store's verbs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def opened(self) -> Iterator[Database]:
        database = open_database(self.path, create=True, now=NOW)
        try:
            yield database
        finally:
            database.close()

    def register(self, *types: str) -> None:
        """A daemon has run here, with one worker, and could run these job types."""
        known = [daemons.JobType(name, None, None, None) for name in types]
        with self.opened() as database, database.transaction() as db:
            daemons.register(db, DAEMON, known, {}, NOW)
            daemons.show_workers(db, DAEMON, [daemons.WorkerState("JobWorker-1")], NOW)

    def rest(self) -> None:
        """That daemon has stopped, and signed off."""
        with self.opened() as database, database.transaction() as db:
            daemons.sign_off(db, DAEMON, NOW)

    def claim(self, job_id: int = 1) -> None:
        with self.opened() as database, database.transaction() as db:
            assert claim_ids(db, [job_id], [], "d1", NOW)

    def settle(self, verb: Callable[..., list[int]], job_id: int = 1, **values: object) -> None:
        """End attempt 1 of a claimed job by a verb of the store."""
        fields: dict[str, object] = {
            "outcome": AttemptOutcome.DEAD_LETTER, "worker_id": "d1",
            "failure_type": FailureType.NETWORK, "error_message": "refused",
            "dead_letter_reason": "worn out", "claimed_at": NOW, "started_at": NOW,
        }
        row = Settlement(job_id=job_id, attempt=1, **(fields | values))  # type: ignore[arg-type]
        with self.opened() as database, database.transaction() as db:
            assert verb(db, [row], NOW + 1_000) == [job_id]
            outcomes.keep_attempts(db, [row], NOW + 1_000)

    def complete(self, job_id: int = 1) -> None:
        success = (job_id, 1, "d1", '{"size": 3}', NOW)
        with self.opened() as database, database.transaction() as db:
            assert completion.complete(db, [success], NOW + 1_000) == [job_id]

    def dead(self, number: int = 1) -> None:
        """`number` new jobs in dead_letter."""
        for _ in range(number):
            with self.opened() as database, database.transaction() as db:
                job_id = enqueue(db, NewJob("thumb", "{}"), NOW)
            self.claim(job_id)
            self.settle(outcomes.park, job_id)

    def status_of(self, job_id: int = 1) -> str:
        with self.opened() as database:
            found = reading.job(database.connection, job_id)
        assert found is not None
        return str(found["status"])

    def count(self) -> int:
        with self.opened() as database:
            found: int = database.connection.execute("SELECT count(*) FROM job_queue").fetchone()[0]
        return found
