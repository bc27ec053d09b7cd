"""The rooms of the house: which may import which, and what each keeps to itself."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "jobd"
FILES = sorted(PACKAGE.rglob("*.py"))
GROUND = {"errors", "clock", "log", "poke", "group_commit", "actor"}
ROOMS = ("core", "store", "queue", "daemon", "web", "cli")
DOORS = {"queue", "batch_queue"}
"""The files of the room that applications enter."""
OPEN = {"__init__", "__main__"}
"""The package itself names what it offers; neither file belongs to a room."""


def name_of(path: Path) -> str:
    """ "store/verbs.py", as an assertion shows it."""
    return str(path.relative_to(PACKAGE))


def room_of(parts: tuple[str, ...]) -> str:
    """The room, or "ground", of a module below jobd given as its path."""
    room = parts[0] if parts else ""
    if room in DOORS:
        return "queue"
    return "ground" if room in GROUND else room


@cache
def imported(path: Path) -> frozenset[tuple[str, ...]]:
    """Every module (or name in one) that is imported anywhere in a file, as its path."""
    return frozenset(_imports(tree_of(path)))


def _imports(tree: ast.AST) -> Iterator[tuple[str, ...]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = tuple((node.module or "").split("."))
            yield from ((*module, alias.name) for alias in node.names)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def may_import(room: str) -> set[str]:
    """The ground and the rooms up to `room`; the demo's handlers also `jobd`, as any handler."""
    if room == "ground":
        return {"ground"}
    face = {""} if room == "cli" else set()
    return {"ground", *ROOMS[: ROOMS.index(room) + 1], *face}


def test_every_file_is_in_a_room() -> None:
    """Nothing lies about between the rooms."""
    found = {room_of(path.relative_to(PACKAGE).with_suffix("").parts) for path in FILES}
    assert found <= {*ROOMS, "ground", *OPEN}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_room_imports_only_to_its_left(path: Path) -> None:
    """core < store < queue < daemon < web < cli, and beneath them all the ground."""
    room = room_of(path.relative_to(PACKAGE).with_suffix("").parts)
    if room in OPEN:
        return
    own = [parts[1:] for parts in imported(path) if parts[0] == "jobd"]
    wrong = {".".join(parts) for parts in own if room_of(parts) not in may_import(room)}
    assert wrong == set()


ONLY = [
    # module       where alone it is imported, and why
    ("apscheduler", {"daemon/sweeper.py"}),
    ("structlog", {"log.py"}),
    ("threading", {"daemon/", "queue.py", "group_commit.py"}),
    ("concurrent", {"daemon/"}),
    ("multiprocessing", {"daemon/"}),
    ("asyncio", {"daemon/"}),
    # core/current.py names the type of what run() returns; the demo starts a daemon to kill it.
    ("subprocess", {"daemon/", "core/current.py", "cli/demo_daemon.py"}),
    ("signal", {"daemon/", "core/classify.py", "cli/demo", "cli/full_screen.py"}),
    ("argparse", {"cli/"}),
    ("fcntl", {"store/", "cli/demo_daemon.py"}),
    ("time", {"clock.py"}),
    ("sqlite3", {"store/", "daemon/", "queue.py", "cli/", "core/classify.py", "group_commit.py"}),
    ("logging", {"log.py", "daemon/"}),
]


@pytest.mark.parametrize(("module", "places"), ONLY, ids=[module for module, _ in ONLY])
def test_a_module_is_imported_in_its_place_only(module: str, places: set[str]) -> None:
    """Threads live in the daemon, the schedule in one file, the clock in one file."""
    found = {
        name_of(path) for path in FILES if any(p[0] == module for p in imported(path))
    }
    assert {name for name in found if not name.startswith(tuple(places))} == set()


def test_core_touches_no_database() -> None:
    """The room of decisions imports neither SQLite nor anything that waits or prints."""
    banned = {"sqlite3", "threading", "socket", "select", "os", "sys", "time", "random",
              "structlog"}
    found = {
        (name_of(path), parts[0])
        for path in (PACKAGE / "core").rglob("*.py")
        for parts in imported(path)
        if parts[0] in banned
    }
    assert found == set()


CALLS = [
    # call                where alone it may stand
    ("Thread", {"daemon/"}),
    ("Timer", set()),
    ("fork", set()),
    ("execute", {"store/"}),
    ("executemany", {"store/"}),
    ("executescript", set()),
    ("sleep", {"daemon/context.py", "daemon/isolated.py", "cli/demo_handlers.py"}),
    ("print", {"cli/"}),
    ("eval", set()),
    ("exec", set()),
    ("import_module", {"daemon/handlers.py", "__init__.py", "cli/verbs.py"}),
]


@cache
def called(path: Path) -> frozenset[str]:
    """The last name of everything that is called in a file."""
    functions = [node.func for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
    return frozenset(
        function.attr if isinstance(function, ast.Attribute) else function.id
        for function in functions
        if isinstance(function, ast.Attribute | ast.Name)
    )


@pytest.mark.parametrize(("call", "places"), CALLS, ids=[call for call, _ in CALLS])
def test_a_call_stands_in_its_place_only(call: str, places: set[str]) -> None:
    """Threads are started in the daemon, statements are executed in the store."""
    found = {name_of(path) for path in FILES if call in called(path)}
    assert {name for name in found if not name.startswith(tuple(places))} == set()


CLOCKS = {("time", "time"), ("time", "time_ns"), ("time", "monotonic"), ("time", "sleep"),
          ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}
READS_A_CLOCK = {
    # APScheduler wants its next run as a datetime; the trigger's own guard is the reason.
    "daemon/sweeper.py": {("datetime", "now")},
}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_one_file_reads_the_clock(path: Path) -> None:
    """Everyone else is told what time it is."""
    if path == PACKAGE / "clock.py":
        return
    found = {
        (node.value.id, node.attr)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    assert found & CLOCKS <= READS_A_CLOCK.get(name_of(path), set())


def test_core_is_told_the_time() -> None:
    """It may write a time as ISO 8601, and never asks what time it is."""
    importers = [
        path for path in (PACKAGE / "core").rglob("*.py")
        if ("jobd", "clock") in imported(path)
    ]
    found = {
        (name_of(path), node.attr)
        for path in importers
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name) and node.value.id == "clock"
    }
    assert {attribute for _, attribute in found} <= {"iso"}
