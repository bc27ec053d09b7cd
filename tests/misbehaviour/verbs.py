"""Running verbs of the command line in this process, whatever they are given."""

import io
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from jobd import clock
from jobd.cli.main import main
from tests.daemon.harness import House

STATUSES = {0, 1, 2, 69, 74, 75, 78}
"""Every exit status that jobd documents, but those of a command that is waited for."""

FUZZ = int(os.environ.get("JOBD_TEST_FUZZ", "1"))
"""How many times as much as usual the fuzz tests try."""

A_SENTENCE = re.compile(r"(jobd: .*\S.*|waiting: jobd pid .*|usage: .*)")


class StillWaiting(BaseException):
    """The verb waits for something, as it was asked to."""


@dataclass(frozen=True)
class Said:
    """What became of one command line: its status, None when it would wait on, and its output."""

    argv: Sequence[str]
    status: int | None
    out: str
    err: str

    def complaint(self) -> str | None:
        """What is wrong with it, if anything."""
        if self.status is None:
            return None
        # `logs` hands on what the job itself wrote to its standard error.
        theirs = "logs" in self.argv and self.status == 0
        unsaid = [line for line in self.err.splitlines()
                  if not theirs and not A_SENTENCE.fullmatch(line)]
        if self.status not in STATUSES:
            return f"{self.argv}: exit status {self.status}; {self.err[-2000:]}"
        if unsaid:
            return f"{self.argv}: {unsaid[:3]}"
        if self.status not in (0, 1) and not self.err + self.out:
            return f"{self.argv}: status {self.status} without a word"
        return None


def verb(argv: Sequence[str], env: Mapping[str, str], stdin: bytes = b"") -> Said:
    """One command line in this process; a verb that would wait for long is given up."""
    pauses = 0

    def pause(_seconds: float) -> None:
        nonlocal pauses
        pauses += 1
        if pauses > 20:
            raise StillWaiting

    with (
        tempfile.NamedTemporaryFile("w") as out, tempfile.NamedTemporaryFile("w") as err,
        redirect_stdout(out), redirect_stderr(err),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin))),
        mock.patch.dict(os.environ, env, clear=True),
        mock.patch.object(clock, "pause", pause),
    ):
        status: int | None
        try:
            status = main(list(argv))
        except SystemExit as left:
            status = left.code if isinstance(left.code, int) else 0
        except StillWaiting:
            status = None
        except BaseException:
            status = -1
            traceback.print_exc(file=err)
        texts = []
        for file in (out, err):
            file.flush()
            texts.append(Path(file.name).read_bytes().decode("utf-8", "replace"))
    return Said(argv, status, *texts)


def complaints(house: House, commands: Sequence[Sequence[str]]) -> list[Any]:
    """What is wrong with these verbs on the database of the house."""
    said = [verb([*house.argv()[3:], *words], house.env) for words in commands]
    return [each.complaint() for each in said if each.complaint()]


def all_about(job_id: int) -> list[list[str]]:
    """Every verb that reads, and then those that act, about one job."""
    one = str(job_id)
    reading = [["show", one], ["history", one], ["explain", one], ["logs", one], ["list"],
               ["status"], ["queue"], ["workers"]]
    return [
        *reading, *([*words, "--json"] for words in reading if words[0] != "logs"),
        ["wait", one, "--timeout", "1ms"], ["migrate", "verify"], ["migrate", "verify", "--json"],
        ["check"], ["logs", "-f", one], ["release", one], ["retry", one], ["cancel", one],
        ["retry", one], ["retry", "--all-dead"],
    ]
