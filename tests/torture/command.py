"""The program of the command jobs: it ends, hangs, fails, or leaves children behind, as told.

Called as `command.py ROOT WHAT SECONDS UNTIL`; in attempts above UNTIL it only succeeds. As
`command.py ROOT within SECONDS` it is a program that a handler runs, with a child of its own.
"""

import os
import select
import signal
import sys

from journal import Journal


def wait(seconds):
    select.select([], [], [], seconds)


def child(seconds, *, deaf=True, daemon=False):
    """A child with a child of its own, which may ignore SIGTERM and have a session of its own."""
    if os.fork() == 0:
        if daemon:
            os.setsid()
        if deaf:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.fork()
        wait(seconds)
        os._exit(0)


def tree(seconds):
    """Waits for its children, one of which ignores SIGTERM and one has gone its own way."""
    child(seconds, deaf=False)
    child(seconds, daemon=True)
    wait(seconds)


def abandons(_seconds):
    """Fails at once and leaves children that would live on for long."""
    child(30.0, daemon=True)
    child(30.0, deaf=False)
    raise SystemExit(75)


def leaves(_seconds):
    """Succeeds and leaves a child that lives a little longer: that is its good right."""
    child(0.2, deaf=False)


def stubborn(_seconds):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    wait(30.0)


def fails(_seconds):
    raise SystemExit(70)


WHAT = {"quick": wait, "tree": tree, "abandons": abandons, "leaves": leaves, "stubborn": stubborn,
        "fails": fails}


def main(root, what, seconds, until="0"):
    journal, mark = Journal(root), os.environ["JOBD_ATTEMPT"]
    job_id, attempt = (int(word) for word in mark.split(":")[1:])
    if what == "within":
        journal.belong(job_id)
        tree(float(seconds))
        return
    with journal.attempt(job_id, attempt, inherited=True):
        (WHAT[what] if attempt <= int(until) else wait)(float(seconds))


main(*sys.argv[1:])
