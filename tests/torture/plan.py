"""What one cycle does: the work, the requests and the faults, all drawn from one seed.

The same seed and number draw the same plan; how the processes interleave is the machine's affair.
"""

import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHAOS = 1.0
"""Seconds in which work arrives and faults happen."""
KEYS = 3
WORKERS = 4
KILL_GRACE, ZOMBIE_HOLD, SWEEP = 0.15, 1.0, 0.05
CONFIG = f"""
pool.workers = {WORKERS}
timing.sweep_interval = "{SWEEP * 1000:.0f}ms"
timing.heartbeat = "200ms"
timing.kill_grace = "{KILL_GRACE * 1000:.0f}ms"
timing.zombie_hold = "{ZOMBIE_HOLD * 1000:.0f}ms"
timing.shutdown_grace = "250ms"
retry.default.initial_delay = "20ms"
retry.default.max_delay = "80ms"
queues.narrow.concurrency = 1
log.format = "json"
"""
PROGRAM = str(Path(__file__).with_name("command.py"))


@dataclass(frozen=True)
class Order:
    """One job that a producer puts in, and what the checks may expect of it."""

    tag: str
    job_type: str
    payload: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    fails: bool = False
    """It raises what counts as a failure."""
    steady: bool = False
    """In a thread, without a deadline, never failing: nothing may ever be charged but rescues."""


@dataclass(frozen=True)
class Action:
    """What a producer does `at` seconds after the start."""

    at: float
    verb: str
    orders: tuple[Order, ...] = ()
    pick: int = 0


@dataclass(frozen=True)
class Fault:
    """What is done to whom; an aimed one comes `lag` after the next write to the database."""

    at: float
    kind: str
    seconds: float = 0.0
    lag: float | None = None
    pick: int = 0


@dataclass(frozen=True)
class Plan:
    """One cycle."""

    seed: int
    number: int
    producers: tuple[tuple[Action, ...], ...]
    faults: tuple[Fault, ...]
    observed: bool
    cold: tuple[bool, ...]
    """Whether the nth start of a daemon is from nothing, instead of a fork that has imported."""

    def orders(self) -> dict[str, Order]:
        return {o.tag: o for actions in self.producers for a in actions for o in a.orders}


def command(tag: str, what: str, seconds: float, until: int = 0, **options: Any) -> Order:
    """A command job; its environment carries the tag."""
    argv = [sys.executable, "-S", "-E", PROGRAM, "{root}", what, str(seconds), str(until)]
    return Order(tag, "exec", {"argv": argv, "env": {"TAG": tag}}, options, fails=bool(until))


Draw = random.Random


def _fails(draw: Draw, tag: str) -> Order:
    how = draw.choice(["network", "resource", "system", "unknown", "exit", "validation",
                       "permission", "again", "final"])
    payload = {"tag": tag, "how": how, "until": draw.choice([1, 2, 99])}
    options = {"max_retries": 2} if draw.random() < 0.5 else {}
    return Order(tag, "fails", payload, options, fails=True)


def _timed(draw: Draw, tag: str) -> Order:
    """Well within its deadline: a verdict would be false."""
    seconds, options = draw.uniform(0.1, 0.5), {"timeout": draw.choice([1.0, 20.0])}
    if draw.random() < 0.2:
        return command(tag, "quick", seconds, 0, **options)
    return Order(tag, "long", {"tag": tag, "seconds": seconds}, options)


def _hangs(draw: Draw, tag: str) -> Order:
    options = {"timeout": draw.uniform(0.1, 0.2), "max_retries": 2}
    return Order(tag, "hangs", {"tag": tag, "until": draw.choice([1, 1, 2])}, options)


def _deaf(draw: Draw, tag: str) -> Order:
    """Too late by a little, by more than the grace, or by more than a zombie is held."""
    seconds = draw.choice([0.2, 0.25, 0.4, 0.6, 1.3])
    return Order(tag, "deaf", {"tag": tag, "seconds": seconds, "until": 1}, {"timeout": 0.12})


def _command(draw: Draw, tag: str) -> Order:
    what = draw.choice(["quick", "tree", "tree", "abandons", "leaves", "stubborn", "fails"])
    match what:
        case "tree":
            return command(tag, what, draw.uniform(0.1, 0.5), 99)
        case "stubborn":
            return command(tag, what, 0.02, 1, timeout=0.2)
        case "abandons" | "fails":
            return command(tag, what, 0.02, 1)
    return command(tag, what, 0.05, 99 if what == "leaves" else 0)


def _isolated(draw: Draw, tag: str) -> Order:
    made = draw.choice([
        Order(tag, "quick", {"tag": tag}),
        Order(tag, "long", {"tag": tag, "seconds": 0.2}),
        Order(tag, "kills", {"tag": tag, "until": 1}, fails=True),
        Order(tag, "deaf", {"tag": tag, "seconds": 5.0, "until": 1}, {"timeout": 0.15}),
    ])
    made.options["isolation"] = "process"
    return made


def _steady(job_type: str, **ranges: Any) -> Callable[[Draw, str], Order]:
    def make(draw: Draw, tag: str) -> Order:
        drawn = {name: draw.uniform(*low_high) for name, low_high in ranges.items()}
        return Order(tag, job_type, {"tag": tag, **drawn}, steady=True)

    return make


def _unique(draw: Draw, tag: str) -> Order:
    options = {"unique_key": f"key-{draw.randrange(KEYS)}"}
    payload = {"tag": tag, "seconds": draw.uniform(0.05, 0.3)}
    return Order(tag, "long", payload, options, steady=True)


def _delayed(draw: Draw, tag: str) -> Order:
    options = {"delay": draw.uniform(0.05, 0.4), "priority": draw.randrange(-5, 6)}
    return Order(tag, "quick", {"tag": tag}, options, steady=True)


def _snoozes(draw: Draw, tag: str) -> Order:
    return Order(tag, "snoozes", {"tag": tag, "until": draw.choice([1, 2])}, steady=True)


def _saves(draw: Draw, tag: str) -> Order:
    return Order(tag, "saves", {"tag": tag, "parts": draw.randrange(2, 8)}, steady=True)


def _runs(draw: Draw, tag: str) -> Order:
    return Order(tag, "runs", {"tag": tag, "seconds": draw.uniform(0.1, 0.4)})


MIX: dict[Callable[[Draw, str], Order], int] = {
    _steady("quick"): 30, _steady("long", seconds=(0.02, 0.3)): 12, _unique: 9, _fails: 8,
    _command: 10, _steady("parent"): 4, _saves: 4, _delayed: 5, _timed: 9, _hangs: 4, _deaf: 4,
    _snoozes: 3, _steady("coroutine", seconds=(0.02, 0.2)): 3, _runs: 3,
    _steady("narrow", seconds=(0.01, 0.05)): 5,
}
FAULTS = {
    "kill": 26, "kill_twice": 8, "kill_waiting": 3, "kill_both": 5, "freeze": 10, "freeze_kill": 3,
    "term": 10, "term_twice": 8, "term_kill": 4, "child_kill": 6, "child_freeze": 6,
    "child_term": 4, "child_term_twice": 3, "producer_kill": 6, "producer_freeze": 4, "lock": 9,
    "clock": 12,
}
LASTS = {
    "freeze": (0.05, 1.4), "kill_twice": (0.0, 0.15), "freeze_kill": (0.05, 0.4),
    "term_twice": (0.0, 0.3), "term_kill": (0.0, 0.4), "child_freeze": (0.05, 0.9),
    "child_term_twice": (0.0, 0.2), "producer_freeze": (0.02, 0.6), "lock": (0.1, 1.0),
}
AIMED = ("kill", "kill_twice", "kill_both", "freeze_kill", "term", "term_twice", "producer_kill",
         "producer_freeze")
STEPS = (-3600.0, -5.0, 5.0, 3600.0, 8 * 3600.0)


def draw_plan(seed: int, number: int) -> Plan:
    """The plan of cycle `number` of a run with this seed."""
    draw = random.Random(f"{seed}/{number}")
    with_processes = draw.random() < 0.3
    # Batches are drawn apart, so that a seed still means what it meant before there were any.
    apart = random.Random(f"{seed}/{number}/batches")
    producers = tuple(
        tuple(sorted(
            (*_producer(draw, f"{name}", with_processes=with_processes and not name),
             *_batches(apart, f"{name}")),
            key=lambda action: action.at,
        ))
        for name in range(draw.choice([1, 2, 2, 3]))
    )
    faults = sorted((_fault(draw) for _ in range(draw.choice([1, 2, 2, 3, 3, 4]))),
                    key=lambda fault: fault.at)
    cold = tuple(draw.random() < 0.06 for _ in range(30))
    return Plan(seed, number, producers, tuple(faults), draw.random() < 0.5, cold)


def _fault(draw: Draw) -> Fault:
    kind = draw.choices(list(FAULTS), list(FAULTS.values()))[0]
    lag = draw.uniform(0, 0.003) if kind in AIMED and draw.random() < 0.5 else None
    seconds = draw.uniform(*LASTS.get(kind, (0, 0)))
    return Fault(draw.uniform(0.08, CHAOS), kind, seconds, lag, draw.randrange(1 << 30))


def _producer(draw: Draw, name: str, *, with_processes: bool) -> tuple[Action, ...]:
    """Orders, and requests about what this producer ordered before; maybe a sudden death."""
    actions = []
    for number in range(draw.randrange(10, 22)):
        tag, at = f"{name}.{number}", draw.uniform(0, CHAOS)
        make = draw.choices(list(MIX), list(MIX.values()))[0]
        orders = [make(draw, tag)]
        if draw.random() < 0.1:
            many = (_steady("quick")(draw, f"{tag}.{n}") for n in range(draw.randrange(2, 9)))
            actions.append(Action(at, "enqueue_many", tuple(many)))
        else:
            verb = draw.choices(["enqueue", "enqueue_twice"], [6, 1])[0]
            actions.append(Action(at, verb, tuple(orders)))
    for _ in range(draw.randrange(2, 8)):
        verb = draw.choices(["cancel", "release", "retry", "cancel_new"], [3, 4, 3, 5])[0]
        order = (_steady("quick")(draw, f"{name}.c{len(actions)}"),) if verb == "cancel_new" else ()
        actions.append(Action(draw.uniform(0.1, CHAOS), verb, order, draw.randrange(1 << 30)))
    actions += _trouble(draw, name, with_processes=with_processes)
    return tuple(sorted(actions, key=lambda action: action.at))


def _batches(draw: Draw, name: str) -> Iterator[Action]:
    """Items that must all be there or none; `pick` is how many may run at once, 0 without limit."""
    for number in range(draw.choice([0, 1, 1, 2])):
        kind = draw.choice([_steady("quick"), _steady("long", seconds=(0.01, 0.1))])
        tag = f"{name}.b{number}"
        orders = tuple(kind(draw, f"{tag}.{n}") for n in range(draw.randrange(1, 25)))
        yield Action(draw.uniform(0, CHAOS), "batch", orders, draw.choice([0, 0, 1, 2]))


def _trouble(draw: Draw, name: str, *, with_processes: bool) -> list[Action]:
    """What is too costly, or too deadly, to be drawn for each job."""
    orders, actions = [], []
    if draw.random() < 0.25:
        payload = {"tag": f"{name}.k", "until": draw.choice([1, 1, 2])}
        orders.append(Order(f"{name}.k", "kills", payload))
    if draw.random() < 0.04:
        orders.append(Order(f"{name}.p", "kills", {"tag": f"{name}.p", "until": 99}))
    if with_processes:
        orders += [_isolated(draw, f"{name}.i{n}") for n in range(draw.randrange(1, 4))]
    actions += [Action(draw.uniform(0, CHAOS), "enqueue", (order,)) for order in orders]
    if draw.random() < 0.12:
        payload = {"tag": f"{name}.d", "seconds": 2.0, "until": 1}
        stuck = Order(f"{name}.d", "deaf", payload, {"timeout": 0.12})
        actions.append(Action(0.1, "enqueue_and_insist", (stuck,)))
    if draw.random() < 0.25:
        last = Action(draw.uniform(0.3, CHAOS), "enqueue_and_die",
                      (_steady("quick")(draw, f"{name}.z"),))
        actions.append(last)
    return actions
