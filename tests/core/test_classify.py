"""Which failure type an exception is: the nearest class that is named, and never its text."""

import errno
import http.client
import json
import signal
import socket
import sqlite3
import ssl
import subprocess
import urllib.error

import pytest

from jobd.core.classify import classify, classify_exit
from jobd.core.lifecycle import FailureType


class OurTimeout(TimeoutError):
    """An application's own class below a built-in one."""


class Both(LookupError, ConnectionError):
    """Its first base says nothing, its second one does."""


def undecodable() -> UnicodeDecodeError:
    return UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionError(), "network"),
        (ConnectionRefusedError(), "network"),
        (ConnectionResetError(), "network"),
        (BrokenPipeError(), "network"),
        (socket.gaierror(), "network"),
        (socket.herror(), "network"),
        (ssl.SSLError(), "network"),
        (ssl.SSLCertVerificationError(), "network"),
        (urllib.error.URLError("no"), "network"),
        (urllib.error.HTTPError("http://x", 500, "no", {}, None), "network"),  # type: ignore[arg-type]
        (http.client.RemoteDisconnected(), "network"),
        (TimeoutError(), "timeout"),
        (OurTimeout(), "timeout"),
        (MemoryError(), "resource"),
        (PermissionError(), "permission"),
        (ImportError(), "configuration"),
        (ModuleNotFoundError(), "configuration"),
        (NameError(), "configuration"),
        (UnboundLocalError(), "configuration"),
        (NotImplementedError(), "configuration"),
        (ValueError(), "validation"),
        (undecodable(), "validation"),
        (json.JSONDecodeError("no", "x", 0), "validation"),
        (SyntaxError(), "validation"),
        (FileNotFoundError(), "validation"),
        (IsADirectoryError(), "validation"),
        (NotADirectoryError(), "validation"),
        (OSError(), "system"),
        (FileExistsError(), "system"),
        (ChildProcessError(), "system"),
        (SystemError(), "system"),
        (SystemExit(1), "system"),
        (KeyboardInterrupt(), "system"),
        (GeneratorExit(), "system"),
        (sqlite3.OperationalError(), "system"),
        (Both(), "network"),
        (Exception(), "unknown"),
        (RuntimeError(), "unknown"),
        (RecursionError(), "unknown"),
        (KeyError("x"), "unknown"),
        (TypeError(), "unknown"),
        (ZeroDivisionError(), "unknown"),
        (AssertionError(), "unknown"),
        (BaseException(), "unknown"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value,
)
def test_the_nearest_class_decides(error: BaseException, expected: str) -> None:
    """Going up from its own class, the first one that the table names gives the type."""
    assert classify(error, {}) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, "resource"),
        (errno.EDQUOT, "resource"),
        (errno.ENOMEM, "resource"),
        (errno.EMFILE, "resource"),
        (errno.ENFILE, "resource"),
        (errno.EAGAIN, "resource"),
        (errno.ENETDOWN, "network"),
        (errno.ENETUNREACH, "network"),
        (errno.EHOSTDOWN, "network"),
        (errno.EHOSTUNREACH, "network"),
        (errno.ECONNREFUSED, "network"),
        (errno.ECONNRESET, "network"),
        (errno.EPIPE, "network"),
        (errno.EROFS, "permission"),
        (errno.EACCES, "permission"),
        (errno.EPERM, "permission"),
        (errno.ENOENT, "validation"),
        (errno.EIO, "system"),
        (errno.ENOTEMPTY, "system"),
        (None, "system"),
    ],
    ids=lambda value: errno.errorcode.get(value, "none") if isinstance(value, int) else value,
)
def test_the_number_of_an_os_error_decides(number: int | None, expected: str) -> None:
    """What the kernel says about a full disk or a dead network is told from other OSErrors."""
    error = OSError(number, "text that says nothing") if number else OSError("no number")
    assert classify(error, {}) == expected


def test_the_text_of_an_error_says_nothing() -> None:
    """A message about a network does not make a failure one."""
    assert classify(RuntimeError("connection timed out, permission denied"), {}) == "unknown"


@pytest.mark.parametrize(
    ("configured", "error", "expected"),
    [
        ({"KeyError": "validation"}, KeyError(), "validation"),
        ({"LookupError": "resource"}, KeyError(), "resource"),
        ({"LookupError": "resource", "KeyError": "validation"}, KeyError(), "validation"),
        ({"ValueError": "network"}, ValueError(), "network"),
        ({"ValueError": "network"}, undecodable(), "network"),
        ({"TimeoutError": "network"}, OurTimeout(), "network"),
        ({"Exception": "system"}, RuntimeError(), "system"),
        ({"Exception": "system"}, ValueError(), "validation"),
        ({"subprocess.CalledProcessError": "system"}, subprocess.CalledProcessError(1, "x"),
         "system"),
        ({"json.decoder.JSONDecodeError": "network"}, json.JSONDecodeError("no", "x", 0),
         "network"),
        ({"OSError": "network"}, OSError(errno.ENOSPC, "full"), "network"),
        ({"builtins.ValueError": "network"}, ValueError(), "validation"),
        ({"RuntimeErro": "network"}, RuntimeError(), "unknown"),
        ({f"{__name__}.OurTimeout": "resource"}, OurTimeout(), "resource"),
    ],
)
def test_a_configured_class_beats_jobds_own_table(
    configured: dict[str, str], error: BaseException, expected: str
) -> None:
    """[classify] names classes in full; for the same class it wins, a nearer class wins over it."""
    table = {name: FailureType(found) for name, found in configured.items()}
    assert classify(error, table) == expected


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((64, 65, 66), "validation"),
        ((67, 68, 78, 126, 127), "configuration"),
        ((69, 70, 71, 72, 74), "system"),
        ((75,), "resource"),
        ((76,), "network"),
        ((77,), "permission"),
        ((1, 2, 73, 125, 128, 255), "unknown"),
        ((-signal.SIGKILL,), "resource"),
        ((-signal.SIGTERM, -signal.SIGSEGV, -signal.SIGABRT), "system"),
    ],
)
def test_the_exit_status_of_a_program(statuses: tuple[int, ...], expected: str) -> None:
    """The codes of sysexits.h, of the shell, and of death by a signal; also through check=True."""
    assert [classify_exit(status) for status in statuses] == [expected] * len(statuses)
    raised = [subprocess.CalledProcessError(status, "x") for status in statuses]
    assert [classify(error, {}) for error in raised] == [expected] * len(statuses)
