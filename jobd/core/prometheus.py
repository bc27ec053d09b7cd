"""The text format of Prometheus: families of samples, each with its help and its type."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

Labels = Mapping[str, str]

BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0,
           7_200.0, 43_200.0)
"""Upper bounds in seconds: what jobs wait for and last, from a millisecond to half a day."""


@dataclass(slots=True)
class Histogram:
    """How many observations fell below each bound; the last place is for those above all."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    sum: float = 0.0

    def observe(self, observed: Iterable[float]) -> None:
        """Count these, in seconds; a clock that was set back makes no negative time."""
        ordered = sorted(observed)
        counted = 0
        for place, bound in enumerate(BUCKETS):
            below = bisect_right(ordered, bound)
            self.counts[place] += below - counted
            counted = below
        self.counts[-1] += len(ordered) - counted
        self.sum += sum(ordered[bisect_right(ordered, 0.0) :])

    def samples(self, labels: Labels) -> Iterator["Sample"]:
        total = 0
        bounds = (*(f"{bound:g}" for bound in BUCKETS), "+Inf")
        for bound, count in zip(bounds, self.counts, strict=True):
            total += count
            yield Sample(total, {**labels, "le": bound}, "_bucket")
        yield Sample(self.sum, labels, "_sum")
        yield Sample(total, labels, "_count")


@dataclass(frozen=True, slots=True)
class Sample:
    """One line; `suffix` is added to the name of its family."""

    value: float
    labels: Labels = field(default_factory=dict)
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """All samples of one name. `kind` is counter, gauge or histogram."""

    name: str
    kind: str
    help: str
    samples: list[Sample]


def counter(name: str, help_text: str, samples: Iterable[Sample]) -> Family:
    return Family(name, "counter", help_text, list(samples))


def gauge(name: str, help_text: str, samples: Iterable[Sample]) -> Family:
    return Family(name, "gauge", help_text, list(samples))


def histogram(name: str, help_text: str, samples: Iterable[Sample]) -> Family:
    return Family(name, "histogram", help_text, list(samples))


def by_label(counts: Mapping[str, float], label: str) -> list[Sample]:
    """One sample for each key, under one label."""
    return [Sample(value, {label: key}) for key, value in sorted(counts.items())]


def render(families: Iterable[Family]) -> str:
    """The text; families without a sample are left out."""
    return "".join(line for family in families if family.samples for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    told = family.help.replace("\\", "\\\\").replace("\n", "\\n")
    yield f"# HELP {family.name} {told}\n"
    yield f"# TYPE {family.name} {family.kind}\n"
    for sample in family.samples:
        yield f"{family.name}{sample.suffix}{_labels(sample.labels)} {_number(sample.value)}\n"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    # Prometheus wants UTF-8, which knows no surrogates.
    clean = value.encode("utf-8", "replace").decode("utf-8")
    return clean.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return repr(value) if isinstance(value, float) and not value.is_integer() else str(int(value))
