"""How often is looked for what may come soon or late."""

from itertools import islice

from jobd.clock import growing_waits


def test_what_is_waited_for_is_seen_with_little_more_than_it_took() -> None:
    """The next look is at most a quarter of the time later that has passed, and a millisecond."""
    passed = 0.0
    for wait in islice(growing_waits(0.05), 100):
        assert wait <= passed / 4 + 0.001
        passed += wait


def test_who_waits_long_looks_seldom() -> None:
    """Nineteen looks in the first quarter of a second, and then one every 50 ms."""
    waits = list(islice(growing_waits(0.05), 40))
    assert sum(waits[:19]) > 0.25
    assert set(waits[19:]) == {0.05}
