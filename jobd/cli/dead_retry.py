"""`jobd dead retry`: one job of a group first, and the others only if it completes."""

import argparse
from collections.abc import Iterator, Sequence
from itertools import islice

from jobd import clock
from jobd.actor import actor
from jobd.cli.asking import AT_ONCE
from jobd.cli.opened import opened
from jobd.cli.options import settings
from jobd.cli.streams import complain
from jobd.cli.table import print_json
from jobd.core.durations import parse_duration
from jobd.core.fingerprint import Group
from jobd.core.lifecycle import COMPLETED, ENDED, JobStatus, Request
from jobd.core.problem import counted
from jobd.errors import DONE, FAILED, BadInput, NoDaemon, NotFound
from jobd.poke import poke
from jobd.store import reading
from jobd.store.connection import Database
from jobd.store.dead_letters import dead_letters, grouped
from jobd.store.overview import daemons
from jobd.store.presence import presence
from jobd.store.requests import request

FEW = 10
"""So many in all need no canary unless it is asked for."""

POLL = 0.05


def add(parts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the part."""
    about = "put dead letters back in line: one of each group first, the rest if it completes"
    parser = parts.add_parser(
        "retry", help=about, epilog="example:  jobd dead retry 3fa1c09b72 --timeout 10m",
        description=f"{about}. Up to {FEW} jobs in all, and jobs that are alone in their group, "
        "need no one before them.",
    )
    parser.add_argument("fingerprints", metavar="FINGERPRINT", nargs="*",
                        help="a group, as `jobd dead` lists it")
    parser.add_argument("--all", action="store_true", help="every group")
    parser.add_argument("--canary", action=argparse.BooleanOptionalAction,
                        help="whether one of each group goes first (default: when more than "
                        f"{FEW} jobs are retried in all, for groups of several)")
    parser.add_argument("--timeout", metavar="DURATION",
                        help="wait no longer for it, as 10m (default: until it has ended)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Retry the groups named; 1 when the canary of one did not complete."""
    if bool(args.fingerprints) == args.all:
        raise BadInput("name the groups to retry: either fingerprints or --all")
    patience = None if args.timeout is None else parse_duration(args.timeout)
    found = settings(args)
    with opened(found) as database:
        replay = Replay(database, _wanted(database, args), args.canary, quiet=args.json)
        if args.dry_run:
            replay.tell_plan()
        else:
            newest = next(iter(daemons(database.connection)), None)
            if replay.canaries and not presence(found.db, clock.now_ms()).moves(newest):
                raise NoDaemon("no daemon is at work that could try one job of each group first; "
                               "start it, or say --no-canary")
            replay.run(patience)
    if args.json:
        print_json(replay.as_json(dry_run=args.dry_run))
    return DONE if args.dry_run or not replay.held_back else FAILED


def _wanted(database: Database, args: argparse.Namespace) -> list[Group]:
    groups = grouped(database.connection)
    if args.all:
        return groups.largest_first()
    for fingerprint in args.fingerprints:
        if fingerprint not in groups.found:
            raise NotFound(f"no dead letters have the fingerprint {fingerprint!r:.60}; "
                           "`jobd dead` lists them")
    return [groups.found[each] for each in dict.fromkeys(args.fingerprints)]


class Replay:
    """Groups that are retried together. It holds one row in memory for each group, not each job."""

    def __init__(
        self, database: Database, groups: Sequence[Group], canary: bool | None, *, quiet: bool
    ) -> None:
        self.held_back: dict[str, str] = {}
        """Why the rest of a group stays as it is, by fingerprint."""
        many = sum(group.count for group in groups) > FEW
        self.canaries = {
            group.fingerprint: group.example_id for group in groups
            if (canary if canary is not None else many and group.count > 1)
        }
        self._database = database
        self._groups = {group.fingerprint: group for group in groups}
        self._retried = dict.fromkeys(self._groups, 0)
        self._skipped = dict.fromkeys(self._groups, 0)
        self._quiet = quiet

    def tell_plan(self) -> None:
        """What `run` would do."""
        for group in self._groups.values():
            canary = self.canaries.get(group.fingerprint)
            first = f", job {canary} first" if canary is not None else " at once"
            self._say(f"{group.fingerprint}: would retry {counted(group.count, 'job')}{first}")

    def run(self, patience: float | None) -> None:
        """The canaries, and once they have ended the rest of those groups whose one completed."""
        for fingerprint, job_id in self.canaries.items():
            refusal = self._retry([(job_id, fingerprint)])
            if refusal:
                self.held_back[fingerprint] = f"job {job_id} could not go first: {refusal}"
            else:
                self._say(f"{fingerprint}: job {job_id} goes first; `jobd explain {job_id}` says "
                          "what it waits for")
        self._wait(patience)
        for fingerprint, why in self.held_back.items():
            left = self._groups[fingerprint].count - self._retried[fingerprint]
            stay = f"other {left} stay as they are" if left > 1 else "other one stays as it is"
            complain(f"{fingerprint}: {why}" + (f"; the {stay}" if left else ""))
        rest = self._rest()
        while some := list(islice(rest, AT_ONCE)):
            self._retry(some)
        for fingerprint in self._groups.keys() - self.held_back.keys():
            skipped = self._skipped[fingerprint]
            but = (f", skipped {skipped} (their unique key is taken, or they may still be "
                   "executing)" if skipped else "")
            self._say(f"{fingerprint}: retried {self._retried[fingerprint]}{but}")

    def as_json(self, *, dry_run: bool) -> list[dict[str, object]]:
        """One object for each group."""
        return [
            {"fingerprint": key, "count": group.count, "canary_id": self.canaries.get(key),
             "retried": self._retried[key], "skipped": self._skipped[key],
             "held_back": self.held_back.get(key), "dry_run": dry_run}
            for key, group in self._groups.items()
        ]

    def _rest(self) -> Iterator[tuple[int, str]]:
        """(id, fingerprint) of what may follow: what was parked when we began."""
        last = {key: group.newest_at for key, group in self._groups.items()
                if key not in self.held_back}
        first = set(self.canaries.values())
        for letter in dead_letters(self._database.connection) if last else ():
            known = letter.parked_at <= last.get(letter.fingerprint, -1)
            if known and letter.id not in first:
                yield letter.id, letter.fingerprint

    def _retry(self, some: Sequence[tuple[int, str]]) -> str | None:
        """One transaction; returns why the last of them was refused."""
        with self._database.transaction() as db:
            now = clock.now_ms()
            replies = [request(db, Request.RETRY, job_id, now, actor()) for job_id, _ in some]
        poke(self._database.path)
        refusal = None
        for (_, fingerprint), replied in zip(some, replies, strict=True):
            refusal = replied.refusal
            counts = self._retried if replied.changed else self._skipped
            counts[fingerprint] += 1
        return refusal

    def _wait(self, patience: float | None) -> None:
        """Until every canary has ended, or patience has."""
        waiting = {each: job_id for each, job_id in self.canaries.items()
                   if each not in self.held_back}
        until = None if patience is None else clock.monotonic() + patience
        while waiting:
            statuses = reading.statuses(self._database.connection, list(waiting.values()))
            for fingerprint, job_id in list(waiting.items()):
                if self._is_over(fingerprint, job_id, statuses.get(job_id)):
                    del waiting[fingerprint]
            if until is not None and clock.monotonic() >= until:
                self.held_back |= {each: f"job {job_id} has not ended"
                                   for each, job_id in waiting.items()}
                return
            clock.pause(POLL if waiting else 0.0)

    def _is_over(self, fingerprint: str, job_id: int, status: JobStatus | None) -> bool:
        if status is COMPLETED:
            self._say(f"{fingerprint}: job {job_id} completed")
            return True
        if status is None or status in ENDED:
            self.held_back[fingerprint] = f"job {job_id} went first and is {status or 'gone'}"
            return True
        return False

    def _say(self, text: str) -> None:
        if not self._quiet:
            print(text, flush=True)
