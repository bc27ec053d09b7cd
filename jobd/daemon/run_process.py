"""Running handlers in a child process that a worker's thread owns, talks to and can kill."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jobd.daemon
from jobd import clock
from jobd.core.classify import classify, classify_exit
from jobd.core.config import Config
from jobd.core.job import EndedEarly, Ending, Failed, Failure, Snoozed, StopReason, Succeeded
from jobd.core.lifecycle import FailureType
from jobd.core.payload import clean_text
from jobd.daemon.attempt import Attempt
from jobd.daemon.context import Checkpoint, JobContext, Surroundings
from jobd.daemon.frames import Frame, Frames, from_frame
from jobd.daemon.program import inherited_environment
from jobd.daemon.survivors import end_survivors, marker, signal_group, survivors
from jobd.store.attempt_files import attempt_directory

READY_WITHIN = 60.0
LOOK_EVERY = 1.0
DYING_TAKES = 0.5
AT_THE_LAST_MOMENT = 0.5
PROGRESS_EVERY = 0.1
STDERR = 2
NOT_OURS = frozenset({"timestamp", "level", "event", "v", "message"})


class Child:
    """One child process, its two sockets, and a bell that other threads ring."""

    def __init__(self, owner: str) -> None:
        """Start it. OSError when that is not possible."""
        work, control = socket.socketpair(), socket.socketpair()
        self.work, self.control = Frames(work[0]), Frames(control[0])
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        for source in (self.work, self.control, self._bell):
            self._poll.register(source, select.POLLIN)
        self.settings: Config | None = None
        self.is_ready = False
        self.attempts = 0
        with work[1], control[1]:
            self._process = _start(owner, (work[1].fileno(), control[1].fileno()))

    @property
    def has_gone(self) -> bool:
        """Whether it has ended, or closed a socket and is as good as that."""
        return self.work.closed or self.control.closed or self._process.poll() is not None

    def ring(self) -> None:
        os.eventfd_write(self._bell, 1)

    def wait(self, seconds: float) -> None:
        """Until it says something, the bell rings, or the time is over."""
        for descriptor, _ in self._poll.poll(seconds * 1000):
            if descriptor == self._bell:
                os.eventfd_read(self._bell)
...
