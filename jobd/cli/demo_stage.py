"""Where the demo plays: a directory that holds nothing else, with one demo at a time in it."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jobd import clock, errors
from jobd.store import reading
from jobd.store.daemon_lock import DaemonLock, is_held
from jobd.store.opening import open_database

MARK = "made-by-jobd-demo"
LOCK = "demo.daemon"
DATABASE = "jobd.db"
ERASED = ("jobd.log", "jobd.toml", "archive",
          *(DATABASE + end for end in ("", "-wal", "-shm", ".attempts", ".sock", ".daemon",
                                       ".line", ".turn", ".metrics", ".pulse", ".settings")))
SETTINGS = """\
[log]
format = "json"
[timing]
sweep_interval = "200ms"
kill_grace = "1s"
shutdown_grace = "3s"
[retry.default]
initial_delay = "500ms"
"""
MEGABYTE = 1_000_000
NEEDED = 24 * MEGABYTE
FULL_BELOW = MEGABYTE


class Stage:
    """One demo's hold on its directory; `made` says whether a demo made the directory itself."""

    def __init__(self, directory: Path, *, made: bool) -> None:
        self.directory = directory
        self.made = made
        self.begun = False
        self._lock = DaemonLock(directory / LOCK.removesuffix(".daemon"))

    @property
    def db(self) -> Path:
        return self.directory / DATABASE

    @property
    def log(self) -> Path:
        return self.directory / "jobd.log"

    def enter(self) -> None:
        """Take the directory, emptied of an earlier demo.

        Raises:
            DaemonActive: a demo or a daemon runs there.
            BadInput: there are jobs that no demo enqueued.
        """
        if not self._lock.acquire(blocking=False):
            raise errors.DaemonActive(f"a demo is running in {self.directory} (pid "
                                      f"{self._lock.holder()}): wait for it, or name another --dir")
        held, pid = is_held(self.db)
        if held:
            raise errors.DaemonActive(f"a daemon (pid {pid}) runs on {self.db}: stop it first, or "
                                      "name another --dir")
        self._refuse_other_jobs()
        self._erase()
        self._write_mark(0)
        (self.directory / "jobd.toml").write_text(SETTINGS)

    def begin(self, jobs: int) -> None:
        """The jobs with the ids up to `jobs` are the demo's; what is there is worth keeping."""
        self._write_mark(jobs)
        self.begun = True

    def leave(self) -> None:
        self._lock.abandon()

    def remove(self) -> None:
        """Take away what this demo has made."""
        self._erase()
        for name in (MARK, LOCK):
            (self.directory / name).unlink(missing_ok=True)
        if self.made:
            with suppress(OSError):
                self.directory.rmdir()

    def own_files(self) -> list[Path]:
        """What `rm -r` may take without taking anything of somebody else's."""
        if self.made:
            return [self.directory]
        return sorted(each for each in self.directory.iterdir() if _is_own(each.name))

    def is_full(self) -> bool:
        return _bytes_left(self.directory) < FULL_BELOW

    def fullness(self) -> str:
        return f"{self.directory} is full: {_megabytes(_bytes_left(self.directory))} are left there"

    @contextmanager
    def told_when_full(self) -> Iterator[None]:
        """Whatever fails inside for want of space fails with one sentence that says so."""
        try:
            yield
        except (OSError, errors.JobdError) as error:
            of_disk = getattr(error, "errno", errno.ENOSPC) in (errno.ENOSPC, errno.EDQUOT)
            if of_disk and self.is_full():
                raise errors.JobdError(self.fullness()) from error
            raise

    def _write_mark(self, jobs: int) -> None:
        (self.directory / MARK).write_text(f"{'made' if self.made else 'found'} {jobs}\n")

    def _refuse_other_jobs(self) -> None:
        newest = _newest_job(self.db)
        if newest > _read_mark(self.directory)[1]:
            raise errors.BadInput(f"{self.db} holds jobs that no demo enqueued, such as job "
                                  f"{newest}: name another --dir")

    def _erase(self) -> None:
        for name in ERASED:
            path = self.directory / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def own_directory(wanted: str | None) -> Stage:
    """The directory at `wanted`, else a new one, with nothing in it that no demo made.

    Raises:
        BadInput: it cannot be one.
        JobdError: the disk is too full.
        DaemonActive: it is taken.
    """
    if wanted is None:
        directory, is_new = Path(tempfile.mkdtemp(prefix="jobd-demo-")).absolute(), True
    else:
        directory = _checked(wanted)
        is_new = not directory.exists()
        _make(directory)
    left = _bytes_left(directory)
    if left < NEEDED:
        if is_new:
            directory.rmdir()
        raise errors.JobdError(f"{directory} is full: {_megabytes(left)} are left there, and the "
                               f"demo needs {_megabytes(NEEDED)}")
    stage = Stage(directory, made=is_new or _read_mark(directory)[0])
    stage.enter()
    return stage


def _checked(wanted: str) -> Path:
    if not wanted:
        raise errors.BadInput("--dir is empty: name a directory, or leave it out")
    directory = Path(os.path.expanduser(wanted)).absolute()
    try:
        str(directory).encode()
    except UnicodeEncodeError:
        raise errors.BadInput(f"--dir {directory}: its name is no UTF-8, as the payload of a job "
                              "must be: name another") from None
    if os.path.lexists(directory) and not directory.is_dir():
        raise errors.BadInput(f"--dir {directory} is no directory: name a new or empty one")
    return directory


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        there = sorted(each.name for each in directory.iterdir())
    except OSError as error:
        raise errors.BadInput(f"--dir {directory} cannot be used: {error.strerror}") from error
    others = [name for name in there if not _is_own(name)]
    if MARK not in there:
        others += [name for name in there if name not in (MARK, LOCK)]
    if others:
        raise errors.BadInput(f"{directory / others[0]} was not made by a demo: give --dir a new "
                              "or empty directory")


def _is_own(name: str) -> bool:
    return name in (MARK, LOCK, *ERASED) or name.startswith(DATABASE)


def _read_mark(directory: Path) -> tuple[bool, int]:
    """Whether a demo made the directory, and the last job that is the demo's."""
    try:
        made, jobs = (directory / MARK).read_text().split()
        return made == "made", int(jobs)
    except (OSError, ValueError):
        return False, 0


def _newest_job(db: Path) -> int:
    if not db.exists():
        return 0
    try:
        database = open_database(db, now=clock.now_ms())
    except errors.JobdError:
        return 0  # what a full disk left is no database
    try:
        newest = reading.jobs(database.connection, limit=1)
    finally:
        database.close()
    return int(newest[0]["id"]) if newest else 0


def _bytes_left(directory: Path) -> int:
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def _megabytes(number: int) -> str:
    return f"{number / MEGABYTE:.1f} MB"
