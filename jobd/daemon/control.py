"""The control socket as a child process uses it: what it reports, and what it is told meanwhile."""

import itertools
import os
import signal
import threading
from contextlib import suppress

from jobd.core.job import StopReason
from jobd.daemon.attempt import Attempt
from jobd.daemon.context import Checkpoint
from jobd.daemon.frames import Frame, Frames
from jobd.daemon.interruption import TERMINATED, Interruption


class Control:
    """Reports from any thread; its own thread reads, and ends the process with its daemon."""

    def __init__(self, frames: Frames, interruption: Interruption) -> None:
        self._frames = frames
        self._interruption = interruption
        self._sending = threading.Lock()
        self._attempt: Attempt | None = None
        self._number = 0
        self._told: tuple[int, StopReason] | None = None
        self._checkpoints: dict[int, Checkpoint] = {}
        self._next_checkpoint = itertools.count()
        self._may_report = True
        self._reader = threading.Thread(target=self._read, name="jobd-control", daemon=True)

    def start(self) -> None:
        self._reader.start()

    def begin(self, number: int, attempt: Attempt) -> None:
        """From now on the frames are about this attempt, the daemon's `number`-th here."""
        self._may_report = True
        self._number, self._attempt = number, attempt
        # Either we see what the other thread has noted, or it sees the attempt.
        self._pass_on(self._told)

    def end(self) -> None:
        """The attempt is over; what it said last of its progress must not be lost."""
        self._may_report = True
        self.report_progress()
        self._attempt = None

    def write_line(self, line: str) -> None:
        """A line of the log, as JSON."""
        self._send("log", self._number, line)

    def tell_dropped(self, count: int, error: str) -> None:
        """So much of the attempt's output could not be kept."""
        self._send("output_dropped", self._number, count, error)

    def save(self, checkpoint: Checkpoint) -> None:
        """Have the daemon save it; it is answered when it is on the disk."""
        number = next(self._next_checkpoint)
        self._checkpoints[number] = checkpoint
        self._send("checkpoint", self._number, number, checkpoint.state)

    def report_progress(self) -> None:
        """Say how far it is; again only when the daemon asks, so that a tight loop costs little."""
        attempt = self._attempt
        with self._interruption.held(), self._sending:
            if attempt is not None and attempt.progress_is_new and self._may_report:
                self._may_report = attempt.progress_is_new = False
                self._frames.send("progress", self._number, attempt.progress)

    def _send(self, *frame: object) -> None:
        with self._interruption.held(), self._sending:
            self._frames.send(*frame)

    # The reading thread.

    def _read(self) -> None:
        with suppress(OSError):
            while (frame := self._frames.receive()) is not None:
                self._heed(frame)
        self._daemon_is_gone()

    def _heed(self, frame: Frame) -> None:
        match frame:
            case ["stop", number, reason]:
                self._told = (number, StopReason(reason))
                self._pass_on(self._told)
            case ["saved", number, refusal]:
                checkpoint = self._checkpoints.pop(number)
                checkpoint.refusal = refusal
                checkpoint.saved.set()
            case ["go_on"]:
                self._may_report = True
                self.report_progress()

    def _pass_on(self, told: tuple[int, StopReason] | None) -> None:
        attempt = self._attempt
        if told is not None and attempt is not None and told[0] == self._number:
            attempt.stopping.set(told[1])

    def _daemon_is_gone(self) -> None:
        """What an idle process once started for a job that succeeded is let be."""
        if self._attempt is not None:
            os.killpg(0, signal.SIGKILL)
        os._exit(TERMINATED)
