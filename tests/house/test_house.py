"""The rules of the house that no linter knows, each with its few exceptions and their reasons."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import jobd
from jobd import errors

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "jobd"
FILES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LONGEST_FILE = 300
LONGEST_FUNCTION = 60

SQL = re.compile(
    r"\b(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s+(TABLE|INDEX|"
    r"TRIGGER|VIEW|UNIQUE)|DROP\s+(TABLE|INDEX|TRIGGER)|ALTER\s+TABLE|PRAGMA\s+\w+|"
    r"BEGIN\s+IMMEDIATE|VACUUM\s+INTO)\b",
    re.DOTALL,
)


def name_of(path: Path) -> str:
    """The path from the top of the repository, as an assertion shows it."""
    return str(path.relative_to(ROOT))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def texts(path: Path) -> Iterator[str]:
    """Every string in a file that is no docstring."""
    tree = tree_of(path)
    standing = {
        id(node.value) for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in standing:
            yield node.value


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_sql_lives_in_the_store(path: Path) -> None:
    """No other room holds a statement."""
    if PACKAGE / "store" in path.parents:
        return
    assert [text for text in texts(path) if SQL.search(text)] == []


@pytest.mark.parametrize("path", [*FILES, *TESTS], ids=name_of)
def test_a_file_is_short_enough_to_read(path: Path) -> None:
    """A file of jobd has at most 300 lines; a page of tests, mostly tables, twice that."""
    longest = LONGEST_FILE if path in FILES else 2 * LONGEST_FILE
    assert len(path.read_text().splitlines()) <= longest


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_function_is_short_enough_to_read(path: Path) -> None:
    """A function has at most 60 lines."""
    long = {f.name for f in functions(path) if (f.end_lineno or 0) - f.lineno >= LONGEST_FUNCTION}
    assert long == set()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_module_opens_with_what_it_is_for(path: Path) -> None:
    """One sentence, except in the empty files that make a folder a package."""
    assert not path.read_text() or ast.get_docstring(tree_of(path))


@pytest.mark.parametrize("path", [*FILES, *TESTS], ids=name_of)
def test_a_file_is_named_after_what_is_in_it(path: Path) -> None:
    """Nothing is called after being useful."""
    forbidden = {"utils", "util", "helpers", "helper", "misc", "common", "base", "manager", "stuff",
                 "tools"}
    assert path.stem.removeprefix("test_") not in forbidden


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_a_test_says_its_behaviour_in_a_sentence(path: Path) -> None:
    """Every test has a docstring that is a sentence."""
    unsaid = {
        f.name for f in functions(path)
        if f.name.startswith("test_") and not (ast.get_docstring(f) or "").endswith(".")
    }
    assert unsaid == set()


@pytest.mark.parametrize("path", [p for p in TESTS if "bench" not in p.parts], ids=name_of)
def test_a_test_waits_for_events_not_for_time(path: Path) -> None:
    """No test sleeps; a benchmark is made of time and may."""
    tree = tree_of(path)
    sleeps = {
        node.lineno for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "sleep"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "time"
    }
    assert sleeps == set()


def modules() -> Iterator[ModuleType]:
    for path in FILES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] != "__main__":
            yield importlib.import_module(".".join(parts).removesuffix(".__init__"))


IN_CORE_JOB = {"Retry", "Fail", "Snooze", "Stopped"}
"""What a handler raises: words of the job, no errors of jobd."""


def test_errors_live_in_one_file() -> None:
    """Private ones aside, every exception is in errors.py, the four of a handler in core/job.py."""
    found = {
        (module.__name__, name)
        for module in modules()
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, BaseException)
        and value.__module__ == module.__name__ and not name.startswith("_")
        and module is not errors
    }
    assert found == {("jobd.core.job", name) for name in IN_CORE_JOB}


ERRORS = [
    value for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, BaseException)
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_an_error_is_a_name_and_a_sentence(error: type[errors.JobdError]) -> None:
    """All have one base, say what they mean, and own a documented exit status."""
    assert issubclass(error, errors.JobdError)
    assert (error.__doc__ or "").strip().endswith(".")
    assert error.exit_status in {1, 2, 69, 74, 75, 78}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_error_is_raised_bare_or_caught_bare(path: Path) -> None:
    """`raise Exception` and `except:` do not occur."""
    tree = tree_of(path)
    raised = {
        node.lineno for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and node.exc is not None
        and re.match(r"(Base)?Exception\b", ast.unparse(node.exc))
    }
    bare = {
        node.lineno for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and node.type is None
    }
    assert (raised, bare) == (set(), set())


def offered() -> Iterator[tuple[str, Any]]:
    """What an application can reach by `jobd.…`: names, and the public methods of classes."""
    for name in jobd.__all__:
        value = getattr(jobd, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            yield name, value
        if inspect.isclass(value):
            for method, found in vars(value).items():
                if inspect.isfunction(found) and not method.startswith("_"):
                    yield f"{name}.{method}", found


@pytest.mark.parametrize(("name", "value"), list(offered()), ids=[name for name, _ in offered()])
def test_what_is_offered_says_what_it_does(name: str, value: Any) -> None:
    """Every public class, function and method has a docstring of its own."""
    assert (value.__doc__ or "").strip(), name


def test_what_is_offered_exists() -> None:
    """`__all__` is sorted and names nothing twice."""
    assert len(set(jobd.__all__)) == len(jobd.__all__)
    assert sorted(jobd.__all__) == list(jobd.__all__)
    assert all(hasattr(jobd, name) for name in jobd.__all__)


DOORS = {"store/connection.py", "store/migrator.py", "store/opening.py", "store/repair.py",
         "store/reading.py", "store/backup.py", "store/rows.py", "store/transaction.py"}
"""Where a transaction may be begun or ended by hand: the door, and what works on whole files."""


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_transactions_have_one_door(path: Path) -> None:
    """Elsewhere there is no BEGIN, COMMIT or ROLLBACK, and no .commit()."""
    if str(path.relative_to(PACKAGE)) in DOORS:
        return
    found = [text for text in texts(path) if re.match(r"\s*(BEGIN|COMMIT|ROLLBACK)\b", text)]
    calls = re.findall(r"\.(commit|rollback)\(\)", path.read_text())
    assert (found, calls) == ([], [])


ALLOWED_AT_THE_TOP = {
    "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "jobd", "config", "systemd", "tests",
}


def test_nothing_else_lies_at_the_top() -> None:
    """The repository holds what the design says, dot-files, and what tools leave behind."""
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert found - {"jobd.egg-info", "build", "dist"} <= ALLOWED_AT_THE_TOP
