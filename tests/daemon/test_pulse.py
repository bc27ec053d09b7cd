"""The daemon keeps how many attempts ended in each second, for who watches."""

from jobd import clock
from jobd.store.pulse import pulse_file, read_pulse
from tests.daemon.harness import House

HANDLERS = """
@job("fails", max_retries=0)
def fails():
    raise ConnectionError("refused")
"""


def ended(house: House) -> tuple[int, int]:
    beats = read_pulse(house.db)
    return sum(each[1] for each in beats), sum(each[2] for each in beats)


def test_what_ended_is_counted_while_it_happens(house: House) -> None:
    """Completed and failed apart; `jobd top` shows the rate while the daemon works."""
    house.handlers(HANDLERS)
    daemon = house.start()
    house.queue.enqueue_many([("quick", {})] * 200 + [("fails", {})] * 7)
    beat = None
    while ended(house) != (200, 7):
        beat = daemon.next_beat(beat)
        assert beat is not None, daemon.account()
    while not (shown := house.cli_json("top"))["failing"]["quarter"]:
        beat = daemon.next_beat(beat)  # the second that is not over is not shown
    assert shown["throughput"]["quarter"] >= shown["failing"]["quarter"] > 0
    assert shown["active"] is True


def test_a_restart_forgets_nothing_and_an_idle_daemon_writes_nothing(house: House) -> None:
    """The file is the same, second by second."""
    daemon = house.start()
    house.queue.wait(house.enqueue("quick"), timeout=20)
    beat = None
    while ended(house) != (1, 0):
        beat = daemon.next_beat(beat)
    assert daemon.stop() == 0
    before = pulse_file(house.db).stat().st_mtime_ns
    again = house.start()
    beat = again.next_beat(again.next_beat(again.next_beat(None)))
    assert beat is not None
    assert ended(house) == (1, 0)
    assert pulse_file(house.db).stat().st_mtime_ns == before
    assert max(each[0] for each in read_pulse(house.db)) <= clock.now_ms() // 1000
