"""The text format of Prometheus, read back by a strict reader."""

import pytest

from jobd.core.counters import MOST_SERIES, OTHERS, Counters
from jobd.core.counters import families as counter_families
from jobd.core.gauges import MOST_KINDS, Gauges
from jobd.core.gauges import families as gauge_families
from jobd.core.prometheus import BUCKETS, Family, Histogram, Sample, gauge, histogram, render
from tests.exposition import read


def written(family: Family) -> str:
    return render([family])


@pytest.mark.parametrize("value", ["plain", 'a "quote"', "back\\slash", "two\nlines", "", "ä ☃",
                                   "a,b={}", "\\n", "\ud800"])
def test_any_text_may_be_a_label(value: str) -> None:
    """It comes back as it was, but for surrogates, which UTF-8 does not know."""
    text = written(gauge("x", 'help with "quotes"\nand \\ more', [Sample(1, {"queue": value})]))
    (labels,) = read(text)["x"].labels()
    assert labels == {"queue": value.encode("utf-8", "replace").decode()}


@pytest.mark.parametrize(("value", "text"), [
    (0, "0"), (1.0, "1"), (0.25, "0.25"), (1e-07, "1e-07"), (1_800_000_000_000, "1800000000000"),
    (-3, "-3"),
])
def test_numbers_are_written_as_prometheus_reads_them(value: float, text: str) -> None:
    """Whole ones without a point."""
    assert written(gauge("x", "h", [Sample(value)])).splitlines()[-1] == f"x {text}"


def test_a_family_without_samples_is_left_out() -> None:
    """Its type alone says nothing."""
    assert render([gauge("x", "h", [])]) == ""


def test_a_histogram_counts_upwards() -> None:
    """Each bucket holds all that fell below its bound, the bound included."""
    found = Histogram()
    found.observe([0.0, BUCKETS[0]])
    found.observe([0.3, 1e9, -5.0])
    family = read(written(histogram("x", "h", found.samples({"type": "t"}))))["x"]
    assert family.value("_bucket", type="t", le=f"{BUCKETS[0]:g}") == 3
    assert family.value("_bucket", type="t", le="0.5") == 4
    assert family.value("_bucket", type="t", le="+Inf") == 5
    assert family.value("_count", type="t") == 5
    assert family.value("_sum", type="t") == 1e9 + 0.3 + BUCKETS[0]


def test_a_new_daemon_has_measurements_already() -> None:
    """Counters begin at zero, so that a rate can be told from the first event on."""
    found = read(render(counter_families(Counters(), {}, 1_000, 2_000)))
    assert found["jobd_late_results_total"].value() == 0
    assert found["jobd_daemon_start_time_seconds"].value() == 1


def test_however_many_types_there_are_the_counters_are_bounded() -> None:
    """What comes after five hundred is counted together."""
    counters = Counters()
    for number in range(MOST_SERIES + 7):
        counters.of("q", f"t{number}").outcomes["completed"] += 1
    assert len(counters.series) == MOST_SERIES + 1
    assert counters.series[OTHERS].outcomes["completed"] == 7
    assert counters.of("q", "t3").outcomes["completed"] == 1
    assert read(render(counter_families(counters, {"completed": 3}, 0, 0)))


def gauges(**values: object) -> Gauges:
    return Gauges(**{
        "now": 5_000, "version": "1", "sqlite": "3", "schema_version": 7, "daemon_alive": True,
        "jobs": {}, "queues": [], "workers": [], "database_bytes": 1, "log_bytes": 2,
        "free_bytes": 3, "disk_free_bytes": 4,
    } | values)  # type: ignore[arg-type]


def test_jobs_are_told_by_status_queue_and_type() -> None:
    """The largest kinds by name, and what is left of a status together."""
    kinds = {("pending", "q", f"t{n}"): 10 for n in range(MOST_KINDS)}
    rare = {("completed", "q", f"r{n}"): 1 for n in range(3)}
    found = read(render(gauge_families(gauges(jobs=kinds | rare))))["jobd_jobs"]
    assert found.value(status="pending", queue="q", type="t7") == 10
    assert found.value(status="completed", queue="(others)", type="(others)") == 3


def test_workers_of_a_dead_daemon_are_none() -> None:
    """Their rows are still there when nobody took them away."""
    workers = [{"health_status": "normal", "job_id": 1},
               {"health_status": "unhealthy", "job_id": 2}]
    alive = read(render(gauge_families(gauges(workers=workers))))
    dead = read(render(gauge_families(gauges(workers=workers, daemon_alive=False))))
    assert alive["jobd_workers"].value(health="unhealthy") == 1
    assert (alive["jobd_workers_busy"].value(), alive["jobd_stuck_threads"].value()) == (2, 1)
    assert (dead["jobd_up"].value(), dead["jobd_workers_busy"].value()) == (0, 0)


def test_queues_have_their_depth_and_age() -> None:
    """The age of a queue without a ready job is not zero, it is missing."""
    queues = [
        {"name": "a", "ready": 3, "running": 1, "oldest_ready_at": 2_000, "paused_at": None},
        {"name": "b", "ready": 0, "running": 0, "oldest_ready_at": None, "paused_at": 1},
    ]
    found = read(render(gauge_families(gauges(queues=queues))))
    assert found["jobd_queue_ready_jobs"].value(queue="a") == 3
    assert found["jobd_queue_oldest_ready_seconds"].samples == {
        ("", frozenset({("queue", "a")})): 3.0
    }
    assert found["jobd_queue_paused"].value(queue="b") == 1
