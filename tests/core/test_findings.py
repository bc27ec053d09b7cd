"""What each thing that was found comes to: ok, a warning or a failure, and what mends it."""

import pytest

from jobd.core import findings
from jobd.core.findings import FileFacts, Finding, Level
from jobd.core.fingerprint import DeadLetter, Groups
from jobd.core.health import Health, Problem, State

MIB = 1 << 20
NOW = 1_800_000_000_000
FILE, DIRECTORY, STICKY = 0o100600, 0o040700, 0o041777

TABLE: dict[str, tuple[Finding, Level]] = {
    "an old SQLite": (findings.sqlite((3, 36, 9)), Level.FAIL),
    "a SQLite without the fix": (findings.sqlite((3, 40, 1)), Level.WARN),
    "a SQLite with the fix": (findings.sqlite((3, 50, 7)), Level.OK),
    "plenty of space": (findings.disk(9_000 * MIB, 10**6, MIB), Level.OK),
    "no room for a backup": (findings.disk(900 * MIB, 10**6, 1_000 * MIB), Level.WARN),
    "little space": (findings.disk(150 * MIB, 10**6, MIB), Level.WARN),
    "no space": (findings.disk(10 * MIB, 10**6, MIB), Level.FAIL),
    "no inodes": (findings.disk(9_000 * MIB, 10, MIB), Level.WARN),
    "a system that counts no inodes": (findings.disk(9_000 * MIB, None, MIB), Level.OK),
    "unknown space": (findings.disk(None, None, MIB), Level.WARN),
    "a short log": (findings.log_size(5 * MIB, alive=False, readers=[]), Level.OK),
    "a long log and nobody": (findings.log_size(99 * MIB, alive=False, readers=[]), Level.WARN),
    "a long log and a reader": (findings.log_size(99 * MIB, alive=True, readers=[7]), Level.WARN),
    "a file that can shrink": (findings.pages(9, 1, incremental=True), Level.OK),
    "a file that cannot": (findings.pages(9, 1, incremental=False), Level.WARN),
    "a local disk": (findings.file_system("xfs", "/"), Level.OK),
    "a network": (findings.file_system("nfs4", "/home"), Level.FAIL),
    "memory": (findings.file_system("tmpfs", "/run"), Level.WARN),
    "an unknown file system": (findings.file_system(None, ""), Level.WARN),
    "a clock that agrees": (findings.clock(NOW, NOW - 1), Level.OK),
    "an empty database": (findings.clock(NOW, None), Level.OK),
    "a clock that was ahead a little": (findings.clock(NOW, NOW + 120_000), Level.WARN),
    "a clock that was ahead": (findings.clock(NOW, NOW + 9_000_000), Level.FAIL),
    "a clock of 1970": (findings.clock(5, None), Level.FAIL),
    "a whole file": (findings.integrity([], finished=True, seconds=10), Level.OK),
    "a large file": (findings.integrity([], finished=False, seconds=10), Level.WARN),
    "a damaged file": (findings.integrity(["page 3"], finished=True, seconds=10), Level.FAIL),
}


@pytest.mark.parametrize("name", TABLE)
def test_each_case_has_its_level(name: str) -> None:
    """And what is not ok says what to do."""
    finding, level = TABLE[name]
    assert finding.level is level
    assert finding.mend or level is Level.OK or "unknown" in name


def levels(*files: tuple[str, int, bool]) -> list[tuple[Level, str | None]]:
    found = findings.modes([FileFacts(*each) for each in files])
    return [(each.level, each.mend) for each in found]


def test_files_that_others_may_open_are_named() -> None:
    """With the command that closes them."""
    assert levels(("/d", DIRECTORY, True), ("/d/x", FILE, True)) == [(Level.OK, None)]
    assert levels(("/d/x", 0o100664, True)) == [(Level.WARN, "chmod o= /d/x")]
    assert levels(("/d/x", 0o100660, True)) == [(Level.OK, None)]


def test_a_directory_in_which_anybody_may_write_is_a_failure() -> None:
    """Unless it is one like /tmp, where nobody replaces the files of others."""
    assert levels(("/d", 0o040777, True)) == [(Level.FAIL, "chmod o-w /d")]
    assert levels(("/d", STICKY, True)) == [(Level.OK, None)]


def test_what_this_user_cannot_write_is_a_failure() -> None:
    """No verb could do anything there."""
    ((level, mend),) = levels(("/d/x", FILE, False))
    assert (level, "daemon's user" in (mend or "")) == (Level.FAIL, True)


def test_a_daemon_is_missed_only_when_work_waits() -> None:
    """A database that rests is no failure."""
    health = Health([Problem(State.DOWN, "no_daemon", "No daemon is active.", "jobd run")], "none")
    ((idle,), (waiting,)) = (
        tuple(findings.live(health, work_waits=waits)) for waits in (False, True)
    )
    assert (idle.level, waiting.level) == (Level.WARN, Level.FAIL)
    assert (waiting.mend, waiting.message) == ("jobd run",
                                               "No daemon is active. Jobs wait for one.")


def test_a_daemon_that_is_well_is_said_to_be() -> None:
    """What else is degraded keeps its own line; dead letters are told by group elsewhere."""
    health = Health([Problem(State.DEGRADED, "zombie", "Job 3 is zombie.", "jobd explain 3"),
                     Problem(State.DEGRADED, "dead_letters", "2 jobs wait.", "x")], "pid 7")
    found = list(findings.live(health, work_waits=True))
    assert [(each.level, each.about) for each in found] == [
        (Level.WARN, "executions"), (Level.OK, "daemon"),
    ]


def test_dead_letters_are_told_by_group() -> None:
    """The largest five, and what is left."""
    groups = Groups()
    for number in range(7):
        for job_id in range(number + 1):
            word = "abcdefg"[number]
            groups.add(DeadLetter(job_id, "t", "q", "network", word, 1, True))
    found = list(findings.dead_letters(groups))
    assert len(found) == findings.GROUPS_TOLD + 1
    assert found[0].message == "7 jobs of type t: network: g"
    assert found[0].mend == f"jobd dead show {groups.largest_first()[0].fingerprint}"
    assert found[-1].message == "3 jobs in smaller groups"
    assert [each.level for each in findings.dead_letters(Groups())] == [Level.OK]
