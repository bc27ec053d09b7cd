"""A strict reader of Prometheus' text format, written from its description, for tests."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,(?=.)|$)')
SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.+)\})? ([^ ]+)")
VALUE = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]+)?|Inf)|NaN|\+Inf")
PLAIN = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
SUFFIXES = {"histogram": {"_bucket", "_sum", "_count"}, "counter": {""}, "gauge": {""}}

Labels = frozenset[tuple[str, str]]


@dataclass
class Read:
    """One family: its type, and every sample by suffix and labels."""

    kind: str
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)

    def value(self, suffix: str = "", **labels: str) -> float:
        return self.samples[suffix, frozenset(labels.items())]

    def labels(self) -> list[dict[str, str]]:
        return [dict(labels) for _, labels in self.samples]


def read(text: str) -> dict[str, Read]:
    """Every family; AssertionError for the first thing that is not as it must be."""
    assert text.endswith("\n"), "the last line has no end"
    families: dict[str, Read] = {}
    helped, current = "", ""
    for line in text.split("\n")[:-1]:
        assert line.strip() == line, (line, "an empty line or stray blanks")
        if line.startswith("# HELP "):
            helped = line.split(" ", 3)[2]
            assert NAME.fullmatch(helped), line
            assert len(line.split(" ", 3)) == 4, (line, "says nothing")
        elif line.startswith("# TYPE "):
            _, _, current, kind = line.split(" ")
            assert current == helped, (line, "has no HELP before it")
            assert current not in families, (line, "comes twice")
            assert kind in SUFFIXES, line
            assert (kind == "counter") is current.endswith("_total"), line
            families[current] = Read(kind)
        else:
            assert not line.startswith("#"), line
            _sample(line, current, families[current])
    for name, family in families.items():
        assert family.samples, (name, "has no samples")
        if family.kind == "histogram":
            _check_histogram(name, family)
    return families


def _sample(line: str, name: str, family: Read) -> None:
    match = SAMPLE.fullmatch(line)
    assert match, line
    assert match[1].startswith(name), (line, "stands in the family of another")
    suffix = match[1].removeprefix(name)
    assert suffix in SUFFIXES[family.kind], line
    assert VALUE.fullmatch(match[3]), line
    labels = list(_labels(match[2] or "", line))
    key = (suffix, frozenset(labels))
    assert len({label for label, _ in labels}) == len(labels), (line, "repeats a label")
    assert key not in family.samples, (line, "comes twice")
    family.samples[key] = float(match[3])
    assert family.kind == "gauge" or family.samples[key] >= 0, line


def _labels(text: str, line: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        match = LABEL.match(text, position)
        assert match, (line, text[position:])
        position = match.end()
        yield match[1], re.sub(r"\\.", lambda found: PLAIN[found[0]], match[2])


def _check_histogram(name: str, family: Read) -> None:
    series: dict[Labels, list[tuple[float, float]]] = {}
    for (suffix, labels), value in family.samples.items():
        if suffix == "_bucket":
            bounds = [bound for label, bound in labels if label == "le"]
            assert len(bounds) == 1, (name, labels)
            rest = frozenset(each for each in labels if each[0] != "le")
            series.setdefault(rest, []).append((float(bounds[0]), value))
    for labels, buckets in series.items():
        counts = [count for _, count in sorted(buckets)]
        assert counts == sorted(counts), (name, labels, "does not grow")
        assert max(buckets)[0] == float("inf"), (name, labels, "has no +Inf")
        assert counts[-1] == family.samples["_count", labels], (name, labels)
        assert ("_sum", labels) in family.samples, (name, labels)
    assert len(series) == sum(suffix == "_count" for suffix, _ in family.samples)
