"""What a failure leads to: the table of policies, the limits, the delays, the reasons."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from jobd.core.job import Fail, Failure, Retry
from jobd.core.lifecycle import FailureType
from jobd.core.policy import DEFAULT_POLICIES, RetryPolicy
from jobd.core.retry import GiveUp, Park, Policy, RetryAt, Verdict, decide, retry_limit

NOW = 1_700_000_000_000
HUGE = (1 << 62) - 1


@dataclass(frozen=True)
class Counts:
    """What `decide` reads of a job."""

    retry_count: int = 0
    rescue_count: int = 0
    max_retries: int | None = None


def middle() -> float:
    """Chance that moves no delay."""
    return 0.5


def failure(name: str, **more: object) -> Failure:
    return Failure(FailureType(name), "it broke", **more)  # type: ignore[arg-type]


def types(**rules: RetryPolicy) -> Mapping[FailureType, RetryPolicy]:
    """The defaults, with some types ruled otherwise."""
    return {**DEFAULT_POLICIES, **{FailureType(name): rule for name, rule in rules.items()}}


def after(seconds: float) -> RetryAt:
    return RetryAt(NOW + round(1000 * seconds), round(1000 * seconds))


def delay(rule: RetryPolicy, used: int, chance: float = 0.5) -> float:
    """Seconds before the next attempt of a job whose `rule` would allow retries for ever."""
    job = Counts(retry_count=used, max_retries=HUGE + 1)
    verdict = decide(
        job, failure("network"), Policy(types(network=rule)), NOW, lambda: chance
    )
    assert isinstance(verdict, RetryAt)
    assert verdict.at == NOW + verdict.delay_ms
    return verdict.delay_ms / 1000


DEFAULTS = [
    # failure type    used: 0          1          2          3
    ("network", [after(1), after(2), after(4), Park("network: 3 of 3 retries used")]),
    ("timeout", [after(1), after(2), after(4), Park("timeout: 3 of 3 retries used")]),
    ("resource", [after(1), after(2), after(4), Park("resource: 3 of 3 retries used")]),
    ("system", [after(1), after(2), after(4), Park("system: 3 of 3 retries used")]),
    ("unknown", [after(1), after(2), after(4), Park("unknown: 3 of 3 retries used")]),
    ("permission", [Park("permission failures are not retried")]),
    ("configuration", [Park("configuration failures are not retried")]),
    ("validation", [Park("validation failures are not retried")]),
    (
        "worker_lost",
        [after(0), after(1), after(2), Park("poison: its daemon died 4 times while it ran")],
    ),
]


@pytest.mark.parametrize(
    ("name", "used", "expected"),
    [(name, used, verdict) for name, row in DEFAULTS for used, verdict in enumerate(row)],
)
def test_the_default_policy(name: str, used: int, expected: Verdict) -> None:
    """Three retries from 1 s on, doubling; none for what no retry mends; a lost worker at once."""
    job = Counts(rescue_count=used) if name == "worker_lost" else Counts(retry_count=used)
    assert decide(job, failure(name), Policy(), NOW, middle) == expected


def test_every_failure_type_has_a_default() -> None:
    """The table above names all nine."""
    assert sorted(name for name, _ in DEFAULTS) == sorted(FailureType)


@pytest.mark.parametrize(
    ("name", "own", "handler", "named", "job", "limit"),
    [
        # type         type's handler's named  job's    counts
        ("network",    3,     None,     {},    None,    3),
        ("network",    3,     5,        {},    None,    5),
        ("network",    3,     None,     {},    7,       7),
        ("network",    3,     5,        {},    7,       7),
        ("network",    3,     5,        {},    0,       0),
        ("network",    3,     0,        {},    None,    0),
        ("network",    3,     5,        {"network": 1},     None, 1),
        ("network",    3,     None,     {"network": 9},     None, 9),
        ("network",    3,     None,     {"timeout": 9},     None, 3),
        ("network",    3,     5,        {"network": 1},     7,    7),
        ("network",    0,     5,        {},    7,       0),
        ("validation", 0,     None,     {},    None,    0),
        ("validation", 0,     5,        {},    None,    0),
        ("validation", 0,     None,     {},    7,       0),
        ("validation", 0,     5,        {},    7,       0),
        ("validation", 0,     None,     {"network": 9},     7,    0),
        ("validation", 0,     None,     {"validation": 2},  None, 2),
        ("validation", 0,     5,        {"validation": 2},  None, 2),
        ("validation", 0,     None,     {"validation": 2},  0,    0),
        ("validation", 0,     None,     {"validation": 2},  7,    7),
        ("validation", 4,     None,     {},    None,    4),
        ("validation", 4,     5,        {},    None,    5),
        ("worker_lost", 3,    5,        {},    7,       3),
        ("worker_lost", 3,    0,        {},    0,       3),
        ("worker_lost", 3,    None,     {"worker_lost": 1}, 7,    1),
        ("worker_lost", 0,    5,        {},    7,       0),
    ],
)  # fmt: skip
def test_whose_limit_counts(
    name: str, own: int, handler: int | None, named: dict[str, int], job: int | None, limit: int
) -> None:
    """The job's, else the handler's, else the type's; 0 stays 0 unless the handler names it."""
    policy = Policy(
        types(**{name: RetryPolicy(max_retries=own)}),
        handler,
        {FailureType(each): count for each, count in named.items()},
    )
    assert retry_limit(Counts(max_retries=job), FailureType(name), policy) == limit


@pytest.mark.parametrize(
    ("used", "expected"),
    [(0, after(1)), (1, after(2)), (2, Park("network: 2 of 2 retries used")),
     (3, Park("network: 3 of 2 retries used"))],
)
def test_used_retries_are_compared_with_the_limit(used: int, expected: Verdict) -> None:
    """A job that used more than a limit lowered meanwhile ends as well."""
    job = Counts(retry_count=used, max_retries=2)
    assert decide(job, failure("network"), Policy(), NOW, middle) == expected


def test_one_count_serves_all_types() -> None:
    """Retries used up by network failures count against the limit of a timeout."""
    lenient = Policy(types(network=RetryPolicy(max_retries=9)))
    job = Counts(retry_count=3)
    assert decide(job, failure("network"), lenient, NOW, middle) == after(8)
    assert isinstance(decide(job, failure("timeout"), lenient, NOW, middle), Park)


def test_rescues_and_retries_are_counted_apart() -> None:
    """Used-up retries cost no rescue, and rescues cost no retry."""
    assert decide(Counts(retry_count=99), failure("worker_lost"), Policy(), NOW, middle) == after(0)
    assert decide(Counts(rescue_count=99), failure("network"), Policy(), NOW, middle) == after(1)


@pytest.mark.parametrize(
    ("rule", "delays"),
    [
        (RetryPolicy(), [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]),
        (RetryPolicy(factor=3.0), [1, 3, 9, 27, 81, 243, 300]),
        (RetryPolicy(factor=1.0), [1, 1, 1, 1]),
        (RetryPolicy(initial_delay=0.25, max_delay=2.0), [0.25, 0.5, 1, 2, 2]),
        (RetryPolicy(initial_delay=0.0), [0, 0, 0]),
        (RetryPolicy(backoff="linear", initial_delay=10.0), [10, 20, 30, 40, 50]),
        (RetryPolicy(backoff="linear", initial_delay=100.0), [100, 200, 300, 300]),
        (RetryPolicy(backoff="fixed", initial_delay=7.0), [7, 7, 7, 7]),
        (RetryPolicy(backoff="fixed", initial_delay=700.0), [300, 300]),
        (RetryPolicy(initial_delay=5.0, max_delay=0.0), [0, 0]),
    ],
)
def test_how_the_delay_grows(rule: RetryPolicy, delays: list[float]) -> None:
    """Exponential, linear or fixed, and never beyond the longest delay."""
    assert [delay(rule, used) for used in range(len(delays))] == delays


@pytest.mark.parametrize(
    ("jitter", "chance", "share"),
    [(0.1, 0.0, 0.9), (0.1, 0.5, 1.0), (0.1, 0.999, 1.0998), (0.0, 0.0, 1.0), (0.0, 0.999, 1.0),
     (1.0, 0.0, 0.0), (1.0, 0.999, 1.998)],
)
@pytest.mark.parametrize("backoff", ["exponential", "linear", "fixed"])
def test_chance_moves_the_delay_by_a_share(
    backoff: str, jitter: float, chance: float, share: float
) -> None:
    """Jitter of 0.1 spreads a delay of 100 s over 90 s to 110 s."""
    rule = RetryPolicy(backoff=backoff, initial_delay=100.0, jitter=jitter)
    assert delay(rule, 0, chance) == pytest.approx(100 * share)


@pytest.mark.parametrize(("chance", "longest"), [(0.0, 270), (0.5, 300), (0.999, 329.94)])
def test_the_longest_delay_is_spread_too(chance: float, longest: float) -> None:
    """Jobs at the cap do not come back all at once: the cap holds before chance is added."""
    assert delay(RetryPolicy(), 50, chance) == pytest.approx(longest)


@pytest.mark.parametrize(
    ("chance", "seconds"), [(0.0, [0.0, 0.9, 1.8]), (0.999, [0.0, 1.0998, 2.1996])]
)
def test_the_first_rescue_has_no_delay_to_spread(chance: float, seconds: list[float]) -> None:
    """A job whose daemon died runs again at once; only later rescues back off."""
    verdicts = [
        decide(Counts(rescue_count=used), failure("worker_lost"), Policy(), NOW, lambda: chance)
        for used in range(3)
    ]
    assert verdicts == [after(each) for each in seconds]


@pytest.mark.parametrize("used", [1_024, 10_000, 1_000_000, HUGE])
@pytest.mark.parametrize("backoff", ["exponential", "linear", "fixed"])
def test_a_huge_count_overflows_nothing(backoff: str, used: int) -> None:
    """However many retries came before, the delay is the cap (or the fixed one)."""
    rule = RetryPolicy(backoff=backoff, factor=100.0)
    assert delay(rule, used) == (1 if backoff == "fixed" else 300)


def test_no_first_delay_stays_none_however_many_retries_came_before() -> None:
    """Zero times any factor is zero, also where the factor overflows."""
    assert delay(RetryPolicy(initial_delay=0.0, factor=100.0), 1_000) == 0


@pytest.mark.parametrize("seconds", [0, 0.001, 30, 30.5, 86_400])
@pytest.mark.parametrize("chance", [0.0, 0.999])
def test_a_handler_names_its_own_delay(seconds: float, chance: float) -> None:
    """Retry(after=...) is exact: no backoff, no cap, no jitter."""
    asked = failure("network", after=seconds)
    assert decide(Counts(retry_count=2), asked, Policy(), NOW, lambda: chance) == after(seconds)


def test_a_delay_of_its_own_is_a_retry_like_any_other() -> None:
    """Retry(after=...) uses up the retries of its type."""
    asked = failure("network", after=30)
    expected = Park("network: 3 of 3 retries used")
    assert decide(Counts(retry_count=3), asked, Policy(), NOW, middle) == expected


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, math.inf, -math.inf, 1e300, 1e12])
def test_an_impossible_delay_is_refused_where_it_is_raised(seconds: float) -> None:
    """Retry(after=...) accepts what Snooze accepts: 0 s to 100 years."""
    with pytest.raises(ValueError, match="is not possible"):
        Retry(after=seconds)


@pytest.mark.parametrize("delay_", ["30s", "soon", [], {}])
def test_a_delay_that_is_no_number_is_refused_where_it_is_raised(delay_: object) -> None:
    """The mistake shows in the handler's own traceback, not in the thread that writes."""
    with pytest.raises((TypeError, ValueError)):
        Retry(after=delay_)  # type: ignore[arg-type]


@pytest.mark.parametrize("exception", [Retry, Fail])
def test_an_unknown_failure_type_is_refused_where_it_is_raised(
    exception: type[Retry] | type[Fail],
) -> None:
    """A misspelt failure type is a ValueError in the handler."""
    with pytest.raises(ValueError, match="netwrok"):
        exception("no answer", failure_type="netwrok")


@pytest.mark.parametrize("name", list(FailureType))
def test_a_final_failure_skips_what_is_left(name: str) -> None:
    """Fail(...) ends the job, whatever its type would still allow."""
    final = failure(name, final=True)
    generous = Policy(max_retries=9, retries={FailureType(name): 9})
    expected = Park(f"the handler gave up: {name}")
    assert decide(Counts(), final, generous, NOW, middle) == expected


@pytest.mark.parametrize(
    ("name", "counts", "more", "reason"),
    [
        ("network", Counts(retry_count=3), {}, "network: 3 of 3 retries used"),
        ("timeout", Counts(retry_count=1, max_retries=1), {}, "timeout: 1 of 1 retries used"),
        ("network", Counts(max_retries=0), {}, "network: this job allows no retries"),
        ("validation", Counts(), {}, "validation failures are not retried"),
        ("validation", Counts(), {"final": True}, "the handler gave up: validation"),
        ("worker_lost", Counts(rescue_count=3), {},
         "poison: its daemon died 4 times while it ran"),
    ],
)
@pytest.mark.parametrize(("exhausted", "end"), [("dead_letter", Park), ("failed", GiveUp)])
def test_the_reason_says_why_no_retry_is_left(
    exhausted: str,
    end: type[Park] | type[GiveUp],
    name: str,
    counts: Counts,
    more: dict[str, bool],
    reason: str,
) -> None:
    """The same words, whether the policy parks the job for a person or just gives up."""
    rule = replace(DEFAULT_POLICIES[FailureType(name)], exhausted=exhausted)
    verdict = decide(counts, failure(name, **more), Policy(types(**{name: rule})), NOW, middle)
    assert verdict == end(reason)


def test_a_first_loss_may_be_one_too_many() -> None:
    """Without a rescue allowed, one dead daemon makes the job poison."""
    policy = Policy(types(worker_lost=RetryPolicy(max_retries=0)))
    expected = Park("poison: its daemon died once while it ran")
    assert decide(Counts(), failure("worker_lost"), policy, NOW, middle) == expected


def test_exhausted_belongs_to_the_type_of_the_failure() -> None:
    """One type may end in failed while the others end in dead_letter."""
    policy = Policy(types(network=RetryPolicy(exhausted="failed")))
    job = Counts(retry_count=3)
    assert isinstance(decide(job, failure("network"), policy, NOW, middle), GiveUp)
    assert isinstance(decide(job, failure("timeout"), policy, NOW, middle), Park)
