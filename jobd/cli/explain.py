"""`jobd explain`: why a job is not running, or why it is dead, and what to type."""

import argparse
import textwrap
from dataclasses import asdict, replace

from jobd import clock
from jobd.cli.ids import add_ids, job_ids
from jobd.cli.obstacle import obstacle
from jobd.cli.opened import opened
from jobd.cli.options import for_looking
from jobd.cli.streams import complain
from jobd.cli.table import print_json, printable
from jobd.core.explain import explain
from jobd.core.facts import Facts
from jobd.core.shown import absent
from jobd.core.why_waiting import TAKEN_WITHIN, is_next
from jobd.errors import DONE, FAILED
from jobd.store.facts import facts
from jobd.store.presence import presence, with_writer
from jobd.store.reading import last_id

WIDTH = 88


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    text = "tell in one paragraph why a job is not running, or why it is dead, and what to type"
    parser = verbs.add_parser(
        "explain", help=text, description=text, epilog="example:  jobd explain 17"
    )
    add_ids(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Explain each job; 1 when one of them does not exist."""
    ids, found = job_ids(args.ids), for_looking(args)
    seen = presence(found.db, clock.now_ms())
    with opened(found) as database:
        seen = with_writer(seen, database.connection, database.path)
        stands_in_the_way = obstacle(found, database.connection)

        def look(job_id: int) -> Facts | None:
            return facts(database.connection, job_id, clock.now_ms(), seen=seen,
                         config=found.config, obstacle=stands_in_the_way)

        known = {job_id: look(job_id) for job_id in ids}
        waits = {job_id for job_id, each in known.items() if each and is_next(each)}
        if waits:
            clock.pause(TAKEN_WITHIN)
            known |= {job_id: _again(look(job_id)) for job_id in waits}
        last = last_id(database.connection)
    _print([each for each in known.values() if each is not None], args.json, len(ids))
    for job_id in (each for each, there in known.items() if there is None):
        complain(absent(job_id, last))
    return FAILED if None in known.values() else DONE


def _again(known: Facts | None) -> Facts | None:
    """What a second look says of a job that was next."""
    return replace(known, overlooked=True) if known and is_next(known) else known


def _print(known: list[Facts], as_json: bool, asked: int) -> None:
    if not as_json:
        print("\n\n".join(_text(each) for each in known), end="\n" * bool(known))
    elif known:
        objects = [{"id": e.id, "status": e.status, **asdict(explain(e))} for e in known]
        print_json(objects[0] if asked == 1 else objects)


def _text(known: Facts) -> str:
    found = explain(known)
    lines = textwrap.wrap(printable(found.text), WIDTH, break_long_words=False)
    if found.next_command:
        lines += ["", f"    {found.next_command}"]
    return "\n".join(lines)
