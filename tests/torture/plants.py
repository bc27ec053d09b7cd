"""Planted bugs: a few lines of jobd replaced while they are imported; nothing on disk changes.

A plant whose lines are no longer there fails loudly, here and in `test_plants.py`.
"""

import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from types import CodeType, ModuleType

VARIABLE = "TORTURE_PLANT"


@dataclass(frozen=True)
class Edit:
    """In this module, `old` (which must be there exactly once) becomes `new`."""

    module: str
    old: str
    new: str


@dataclass(frozen=True)
class Plant:
    """One bug, the cycles within which it must be found, and the checks that may find it."""

    name: str
    within: int
    found_by: tuple[str, ...]
    edits: tuple[Edit, ...]


NO_TRIGGER = (
    Edit("jobd.store.migrations.m004_fence_attempts", "    OR OLD.status = NEW.status\n",
         "    OR true\n"),
    Edit("jobd.store.schema", '[*allowed, "OLD.status = NEW.status"]', '[*allowed, "true"]'),
)
"""Takes away the second line of defence: the trigger that refuses moves that do not exist."""

_COMMITS = "                with database.transaction(before_commit=before_commit) as db:\n"
_STORES = "                    ids = store_enqueue.enqueue_many(db, jobs, now)\n"
_SELECT_THEN_UPDATE = (
    Edit("jobd.daemon.dispatcher",
         "                with self._transaction() as db:\n"
         "                    now = self._now_ms()",
         "                self._hand.seen = claims.heads(self._database.connection, 64, {})\n"
         "                with self._transaction() as db:\n"
         "                    now = self._now_ms()"),
    Edit("jobd.daemon.hand",
         "heads = claims.heads(db, limit, line_room)",
         "heads = [h for h in self.seen if queue_room.get(h.queue, 1) > 0][:limit] or "
         "claims.heads(db, limit, line_room)"),
    Edit("jobd.store.claims",
         "    WHERE id IN (SELECT value FROM json_each(:chosen)) AND "
         "(+ready = 1 OR batch_id IS NOT NULL)\n        AND execution_over = 1 "
         "AND status IN ({quoted(CLAIM.sources)})\n",
         "    WHERE id IN (SELECT value FROM json_each(:chosen))\n"),
)
_LATE_SUCCESS = (
    Edit("jobd.store.completion", "job_queue.status IN ({quoted(COMPLETE.sources)})",
         "job_queue.status IN ({quoted(EXECUTING)})"),
    Edit("jobd.store.completion", "import COMPLETE\n", "import COMPLETE, EXECUTING\n"),
)

PLANTS: dict[str, Plant] = {plant.name: plant for plant in (
    Plant("acknowledge_before_commit", 40, ("nothing_is_lost",), (
        Edit("jobd.queue", _COMMITS + _STORES, """
                ids = threading.local
                def commit():
                    nonlocal ids
                    with database.transaction() as db:
                        ids = store_enqueue.enqueue_many(db, jobs, now)
                        clock.pause(0.002)
                if hasattr(self, "committing"):
                    self.committing.join()
                self.committing = threading.Thread(target=commit)
                self.committing.start()
                while ids is threading.local:
                    clock.pause(0.0001)
"""),
        Edit("jobd.queue",
             "self._wrote(database, len(jobs), sum(len(job.payload) for job in jobs))",
             "self._poker.poke(database.place)"),
    )),
    Plant("claim_by_select_then_update", 60, ("nothing_is_wrong_by_the_log",),
          _SELECT_THEN_UPDATE),
    Plant("claim_by_select_then_update_without_trigger", 60,
          ("cancelled_means_asked", "none_overlap", "daemons_end_as_documented"),
          (*_SELECT_THEN_UPDATE, *NO_TRIGGER)),
    Plant("no_rescue", 20, ("every_job_ends",), (
        Edit("jobd.daemon.ledger", "        if not orphans:\n            return\n",
             "        if True:\n            return\n"),
    )),
    Plant("rescue_charges_a_retry", 20,
          ("the_steady_are_charged_nothing", "retries_are_failures"), (
        Edit("jobd.core.settle", "        settlement.rescue_count += 1\n",
             "        settlement.rescue_count += 1\n        settlement.retry_count += 1\n"),
    )),
    Plant("rescue_leaves_survivors", 40, ("none_overlap", "nobody_is_left"), (
        Edit("jobd.daemon.dispatcher", "haunted = survey(self._database.path, rows)",
             "haunted = {}"),
    )),
    Plant("stop_gives_nothing_back", 40,
          ("the_steady_are_charged_nothing", "retries_are_failures", "rescues_are_deaths"), (
        Edit("jobd.core.settle", "return never_ran or row.stop_requested_at is not None",
             "return never_ran"),
        Edit("jobd.core.settle", "ending.reason in (StopReason.STOP, StopReason.RELEASE)",
             "ending.reason is StopReason.RELEASE"),
    )),
    Plant("late_success_counts", 40, ("nothing_is_wrong_by_the_log",), _LATE_SUCCESS),
    Plant("late_success_counts_without_trigger", 40, ("a_verdict_stands",),
          (*_LATE_SUCCESS, *NO_TRIGGER)),
    Plant("outcome_dropped_on_busy", 60, ("every_job_ends", "no_success_is_dropped"), (
        Edit("jobd.daemon.dispatcher",
             "return not (self._finishing.is_set() and waited > RETRY_AFTER_FULL)",
             "return False"),
        Edit("jobd.daemon.dispatcher", "        except errors.DatabaseFull as error:\n",
             "        except errors.DatabaseBusy:\n            self._batch.ended.clear()\n"
             "            return\n        except errors.DatabaseFull as error:\n"),
    )),
    Plant("retry_ignores_execution_over", 80, ("none_overlap",), (
        Edit("jobd.core.lifecycle", "if found.move is REVIVE and not execution_over:",
             "if False:"),
        Edit("jobd.store.requests", "WHERE {_guard(REVIVE)} AND execution_over = 1",
             "WHERE {_guard(REVIVE)}"),
        Edit("jobd.store.requests", "retry_count = 0, rescue_count = 0, snooze_count = 0,",
             "execution_over = 1, retry_count = 0, rescue_count = 0, snooze_count = 0,"),
    )),
    Plant("unique_index_missing", 20, ("a_key_is_held_once",), (
        Edit("jobd.store.migrations.m004_fence_attempts",
             "CREATE UNIQUE INDEX job_queue_unique_key", "CREATE INDEX job_queue_unique_key"),
    )),
    Plant("returning_read_by_fetchone", 20,
          ("nothing_is_wrong_by_the_log", "every_job_ends", "rescues_are_deaths"), (
        Edit("jobd.store.verbs",
             "in db.execute(statement, values)]",
             "in filter(None, [db.execute(statement, values).fetchone()])]"),
    )),
    Plant("wall_clock_in_deadlines", 60, ("deadlines_are_true",), (
        Edit("jobd.daemon.daemon", "return self._running_clock.running(clock.monotonic())",
             "return clock.now_ms() / 1000"),
        Edit("jobd.daemon.patrol", "running = self._running_clock.tick(clock.monotonic())",
             "running = clock.now_ms() / 1000"),
    )),
    Plant("mark_over_missing", 60, ("every_job_ends", "nothing_is_wrong_by_the_log"), (
        Edit("jobd.store.outcomes", "AND job_queue.status IN ('dead_letter', 'cancelled')\n",
             "AND false\n"),
    )),
)}


class NotPlanted(Exception):
    """The lines that the plant replaces are not there, or not once."""


def replaced(source: str, edits: Sequence[Edit]) -> str:
    """The source with these edits."""
    for edit in edits:
        if source.count(edit.old) != 1:
            raise NotPlanted(f"{edit.module} has {source.count(edit.old)} times {edit.old!r}")
        source = source.replace(edit.old, edit.new)
    return source


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, edits: Sequence[Edit]) -> None:
        super().__init__(name, path)
        self._edits = edits

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_source(fullname) or ""
        try:
            return compile(replaced(source, self._edits), self.path, "exec")
        except NotPlanted as error:
            sys.stderr.write(f"the plant does not apply: {error}\n")
            os._exit(99)


class _Finder(MetaPathFinder):
    def __init__(self, plant: Plant) -> None:
        self._plant = plant

    def find_spec(
        self, name: str, path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        edits = [edit for edit in self._plant.edits if edit.module == name]
        spec = importlib.machinery.PathFinder.find_spec(name, path) if edits else None
        if spec is None or spec.origin is None:
            return None
        loader = _Loader(name, spec.origin, edits)
        return importlib.util.spec_from_file_location(name, spec.origin, loader=loader)


def plant(name: str) -> None:
    """From now on, modules of jobd are imported with this bug."""
    sys.meta_path.insert(0, _Finder(PLANTS[name]))
