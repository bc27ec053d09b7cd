"""From runs to tables: least, median, most, and ratios of runs that stood side by side."""

from statistics import median, quantiles
from typing import Any

from tests.bench.contest import Figures
from tests.bench.workloads import Workload

Summary = dict[str, dict[str, Any]]


def summary(workload: Workload, runs: dict[str, list[Figures]]) -> Summary:
    """For each contender every figure as [least, median, most], and its ratio to the first."""
    first = next(iter(runs))
    found: Summary = {}
    for name, figures in runs.items():
        spread = {key: _spread([run[key] for run in figures]) for key in figures[0]}
        ratios = [_ratio(workload, ours, theirs)
                  for ours, theirs in zip(runs[first], figures, strict=True)]
        found[name] = {**spread, "first_over_this": _quartiles(ratios)}
    return found


def as_table(workload: Workload, found: Summary) -> str:
    """A table in Markdown: the figure that counts, then the others by their medians."""
    others = sorted({key for figures in found.values() for key in figures}
                    - {workload.figure, "first_over_this"})
    first = next(iter(found))
    head = ["", "min", "median", "max", f"{first} is x times (quartiles)", *others]
    rows = [head, ["---"] * len(head)]
    for name, figures in found.items():
        low, mid, high = figures["first_over_this"]
        ratio = "" if name == first else f"{mid:.2f} ({low:.2f} to {high:.2f})"
        rest = [_short(figures[key][1]) if key in figures else "" for key in others]
        rows.append([name, *map(_short, figures[workload.figure]), ratio, *rest])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"### {workload.title}", "", *lines])


def _ratio(workload: Workload, ours: Figures, theirs: Figures) -> float:
    """How many times better ours is."""
    mine, other = ours[workload.figure], theirs[workload.figure]
    better, worse = (other, mine) if workload.less_is_better else (mine, other)
    return better / worse if worse else float("inf")


def _spread(values: list[float]) -> list[float]:
    return [min(values), median(values), max(values)]


def _quartiles(values: list[float]) -> list[float]:
    if len(values) == 1:
        return values * 3
    low, _, high = quantiles(values, n=4, method="inclusive")
    return [low, median(values), high]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
