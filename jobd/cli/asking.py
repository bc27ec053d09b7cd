"""Asking something of jobs by id: what cancel, retry and release share."""

import argparse
from collections.abc import Iterator, Sequence

from jobd import clock
from jobd.actor import actor
from jobd.cli.opened import opened
from jobd.cli.options import settings
from jobd.cli.streams import complain
from jobd.cli.table import print_json
from jobd.core.lifecycle import JobStatus, Request, answer
from jobd.core.shown import absent
from jobd.errors import DONE, FAILED
from jobd.poke import poke
from jobd.store.connection import Database
from jobd.store.reading import last_id
from jobd.store.requests import Replied, request

AT_ONCE = 500
"""How many jobs one transaction touches, so that no other writer waits long."""

_DONE = {Request.CANCEL: "cancelled", Request.RETRY: "pending again", Request.RELEASE: "released"}
_STORED = {
    Request.CANCEL: "told to stop; it becomes cancelled when its execution is over",
    Request.RELEASE: "told to stop; it becomes pending when its execution is over",
}


def ask(args: argparse.Namespace, what: Request, ids: Sequence[int]) -> int:
    """Ask it of each job and say what became of it; 1 when one did not exist or refused."""
    found = settings(args)
    with opened(found) as database:
        replies = list(_asked(database, what, ids))
        poke(found.db)
        last = last_id(database.connection)
    if args.json:
        print_json([_as_json(what, each) for each in replies])
    for each in replies:
        _report(what, each, last, quiet=args.json)
    return FAILED if any(each.refusal for each in replies) else DONE


def _asked(database: Database, what: Request, ids: Sequence[int]) -> Iterator[Replied]:
    for some in slices(ids):
        with database.transaction() as db:
            now = clock.now_ms()
            replies = [request(db, what, job_id, now, actor()) for job_id in some]
        yield from replies


def slices(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """`ids` in parts that fit into one transaction each."""
    return (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE))


def _report(what: Request, replied: Replied, last: int, *, quiet: bool) -> None:
    if replied.status is None:
        complain(absent(replied.job_id, last))
    elif replied.refusal:
        complain(f"job {replied.job_id} ({replied.status}): {replied.refusal}")
    elif not quiet:
        print(f"job {replied.job_id} {_became(what, replied.status, replied.changed)}")


def _became(what: Request, status: JobStatus, changed: bool) -> str:
    found = answer(what, status)
    if not changed:
        return f"is {status}; nothing to do"
    if found.stored:
        return _STORED[what]
    return "is due now" if found.due_now else _DONE[what]


def _as_json(what: Request, replied: Replied) -> dict[str, object]:
    status = replied.status
    if status is not None and replied.changed:
        move = answer(what, status).move
        status = move.target if move else status
    return {"id": replied.job_id, "status": status, "changed": replied.changed,
            "refusal": replied.refusal}
