"""How fast each batch goes, kept in its row: samples of the time it was worked on and what ended.

Time in which it was paused or no daemon ran does not count, so that neither spoils an estimate.
"""

import json
import sqlite3
from dataclasses import dataclass, field

from jobd.core.batch_progress import pace
from jobd.store import batch_feed
from jobd.store.batch_feed import OpenBatch

EVERY_MS = 2_000
LONGEST_MS = 120_000
"""The dispatcher looks at least once a minute; what is longer is a step of the clock."""
KEPT, DENSE = 60, 20


@dataclass(slots=True)
class _Course:
    """One batch: when it was last looked at, how long it was worked on, and the samples."""

    looked_at: int
    active_ms: int
    sampled_at: int = 0
    samples: list[tuple[int, int]] = field(default_factory=list)


class BatchPace:
    """Keeps the courses of the open batches, and writes each every two seconds."""

    def __init__(self) -> None:
        self._courses: dict[int, _Course] = {}

    def look(
        self, db: sqlite3.Connection, batches: list[OpenBatch], workers: int, now: int
    ) -> None:
        """A transaction has written what ended; `workers` may work on a batch at once."""
        courses, self._courses = self._courses, {}
        for batch in batches:
            if not batch.goes_on:
                continue
            course = courses.get(batch.id) or self._begin(db, batch, now)
            self._courses[batch.id] = course
            course.active_ms += min(max(0, now - course.looked_at), LONGEST_MS)
            course.looked_at = now
            if batch.is_over or not 0 <= now - course.sampled_at < EVERY_MS:
                course.sampled_at = now
                self._sample(db, batch, course, workers)

    def _begin(self, db: sqlite3.Connection, batch: OpenBatch, now: int) -> _Course:
        found = json.loads(batch_feed.pace_of(db, batch.id))
        samples = [(int(at), int(ended)) for at, ended in found]
        return _Course(now, batch.active_ms, samples=samples)

    def _sample(
        self, db: sqlite3.Connection, batch: OpenBatch, course: _Course, workers: int
    ) -> None:
        course.samples.append((course.active_ms, batch.ended_items))
        if len(course.samples) > KEPT:
            course.samples[:-DENSE] = course.samples[:-DENSE:2]
        places = min(workers, batch.concurrent_processing or workers)
        left = pace(course.samples, places, course.active_ms).left(
            batch.total_items - batch.ended_items
        )
        batch_feed.keep_pace(
            db, batch.id, course.active_ms, json.dumps(course.samples),
            None if left is None else round(1000 * left),
        )
