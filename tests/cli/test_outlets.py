"""Alerts and measurements that would reach nobody: doctor, health and check name them."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jobd import clock
from jobd.cli.outlets import outlet_problems
from jobd.core.config import load
from tests.cli.conftest import Store

Jobd = Callable[..., tuple[int, str, str]]


def problems(started_at: int | None = None, **settings: object) -> list[str]:
    tables: dict[str, dict[str, object]] = {}
    for name, value in settings.items():
        table, key = name.split("__")
        tables.setdefault(table, {})[key] = value
    return [text for _, text in
            outlet_problems(load(tables, {}, {}), clock.now_ms(), started_at)]


def program(path: Path, text: str = "#!/bin/sh\n", mode: int = 0o755) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_nothing_configured_is_no_problem() -> None:
    """Neither is a program or a directory that is there."""
    assert problems() == []


@pytest.mark.parametrize("given", ["/bin/true", "true"])
def test_a_program_that_is_there_is_no_problem(given: str) -> None:
    """By its path, or found on commands.path."""
    assert problems(alerts__command=[given, "x"]) == []


@pytest.mark.parametrize(("make", "part"), [
    (lambda path: str(path / "none"), "does not exist"),
    (lambda _: "no-such-program-anywhere", "is not found on"),
    (lambda path: str(path), "is not a file"),
    (lambda path: program(path / "tell", mode=0o644), "is not executable"),
    (lambda path: program(path / "tell", "#!/no/such/sh\n"), "needs /no/such/sh"),
], ids=["missing", "not on the path", "a directory", "not executable", "no interpreter"])
def test_an_alert_program_that_cannot_start_is_named(
    tmp_path: Path, make: Callable[[Path], str], part: str
) -> None:
    """With what is wrong with it."""
    (found,) = problems(alerts__command=[make(tmp_path)])
    assert part in found


def test_a_metrics_file_that_cannot_be_is_named(tmp_path: Path) -> None:
    """A directory in its place, or none to make it in."""
    assert problems(metrics__file=str(tmp_path / "a.prom")) == []
    assert "it is a directory" in problems(metrics__file=str(tmp_path))[0]
    assert "there is no directory" in problems(metrics__file=str(tmp_path / "no" / "a.prom"))[0]


def test_a_metrics_file_is_known_by_its_age_while_a_daemon_runs(tmp_path: Path) -> None:
    """Whatever this user may do, it is the daemon that has to write it."""
    now, file = clock.now_ms(), tmp_path / "a.prom"
    assert problems(now - 1_000, metrics__file=str(file)) == []
    assert "at all" in problems(now - 60_000, metrics__file=str(file))[0]
    file.touch()
    assert problems(now - 60_000, metrics__file=str(file)) == []
    os.utime(file, (1, 1))
    assert "has not written it for" in problems(now - 60_000, metrics__file=str(file))[0]


def test_the_faces_tell_of_them(
    jobd: Jobd, store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure for doctor, degraded for health, a warning for check, which lets a start be."""
    store.register()
    monkeypatch.setenv("JOBD_ALERTS_COMMAND", str(path.parent / "tell"))
    monkeypatch.setenv("JOBD_METRICS_FILE", str(path.parent / "none" / "a.prom"))
    found = {each["about"]: each["level"] for each in json.loads(jobd("doctor", "--json")[1])}
    assert (found["alerts"], found["metrics"]) == ("fail", "fail")
    causes = {each["cause"]: each["state"] for each in
              json.loads(jobd("health", "--json")[1])["problems"]}
    assert (causes["alerts"], causes["metrics"]) == ("degraded", "degraded")
    status, out, _ = jobd("check")
    assert status == 0
    assert "warn alerts" in out
    assert "warn metrics" in out
