"""Making batches from an input: what `batch create`, `batch exec` and `batch append` share.

The input is read twice: once to check every item, once to store them. So a bad line is told before
anything is stored, and a million items take little memory.
"""

import argparse
import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobd.cli.batch_options import CALLBACKS
from jobd.cli.batch_source import Source
from jobd.cli.enqueue import whole
from jobd.cli.table import print_json, printable
from jobd.core.batch import Item, NewItem, new_batch, new_item
from jobd.core.batch_input import BadLine, Entry
from jobd.errors import DONE, BadInput

SHOWN = 5
"""Items that --dry-run shows."""

def described(
    args: argparse.Namespace, job_type: str, shared: Mapping[str, Any]
) -> dict[str, Any]:
    """The options of `Queue.batch` that the command line says, checked.

    Raises:
        BadInput: names what is wrong with it.
    """
    options: dict[str, Any] = {
        "shared_parameters": shared,
        "concurrency": whole("concurrency", args.concurrency),
        "error_handling": args.error_handling,
        "stop_after": args.stop_after,
        "queue": args.queue,
        "priority": whole("priority", args.priority),
        "timeout": args.timeout,
        "max_retries": whole("max-retries", args.max_retries),
        "isolation": getattr(args, "isolation", None),
        **{f"on_{when}": _callback(getattr(args, f"on_{when}")) for when in CALLBACKS},
    }
    new_batch(args.name, job_type, **options)
    return options


def parameters(words: list[str]) -> dict[str, Any]:
    """What each --param says: K=V, where V is JSON if it reads as JSON, and text otherwise."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise BadInput(f"--param {word!r:.60} is not K=V")
        if name in found:
            raise BadInput(f"--param {name!r:.60} is given twice")
        try:
            found[name] = json.loads(value, parse_constant=_refuse)
        except (ValueError, RecursionError):
            found[name] = value
    return found


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _callback(word: str | None) -> tuple[str, Any] | None:
    if word is None:
        return None
    job_type, equals, payload = word.partition("=")
    try:
        return job_type, json.loads(payload) if equals else {}
    except (ValueError, RecursionError):
        raise BadInput(f"the payload in {word!r:.80} is not JSON") from None


@dataclass(slots=True)
class Making:
    """Items of one source, each as it would be stored."""

    source: Source
    job_type: str
    shared: Mapping[str, Any]
    max_payload: int
    own: Callable[[Entry, int], Mapping[str, Any]] = lambda entry, _: entry.parameters
    """What the payload of an item holds beside what all share."""
    fit: Callable[[Entry], object] = lambda _: None
    """Called with the first item; what it refuses is wrong with all of them."""
    first: list[dict[str, Any]] = field(default_factory=list)
    """The payloads of the first items, once they were checked."""

    def check(self) -> int:
        """Read all of it; how many items there are.

        Raises:
            BadInput: names every bad line, or says that there is no item.
        """
        complaints, number = self.source.complaints(), 0
        for entry in self.source.entries():
            if isinstance(entry, Entry) and number == 0:
                self.fit(entry)
            made = entry if isinstance(entry, BadLine) else self._made(entry, number + 1)
            if isinstance(made, BadLine):
                complaints.add(made)
            else:
                number += 1
                if len(self.first) < SHOWN:
                    self.first.append(json.loads(made.payload))
        complaints.check()
        if not number:
            raise BadInput(f"{self.source.name} holds no items; nothing was stored")
        return number

    def items(self) -> Iterator[Item]:
        """Every item, to be stored.

        Raises:
            BadInput: the source is no more what was checked.
        """
        for number, entry in enumerate(self.source.entries(), 1):
            if isinstance(entry, BadLine):
                raise BadInput(f"{self.source.name} was changed while it was read: "
                               f"{self.source.how.word} {entry.line}: {entry.why}")
            yield Item(self.own(entry, number), _topic(entry))

    def _made(self, entry: Entry, position: int) -> NewItem | BadLine:
        try:
            own = self.own(entry, position)
            return new_item(Item(own, _topic(entry)), self.shared, self.max_payload)
        except BadInput as error:
            return BadLine(entry.line, str(error))

    def show(self, number: int, *, as_json: bool) -> int:
        """What --dry-run prints."""
        if as_json:
            print_json({"job_type": self.job_type, "total_items": number, "first": self.first})
            return DONE
        print(f"{number:,} items; the first as they would run:")
        for position, payload in enumerate(self.first, 1):
            said = shlex.join(payload["argv"]) if "argv" in payload else json.dumps(payload)
            stdin = f" < {shlex.quote(payload['stdin'])}" if "stdin" in payload else ""
            print(printable(f"{position}  {said}{stdin}"))
        print("nothing was stored")
        return DONE


def _topic(entry: Entry) -> str:
    """What people know an item by: its text, else its first text, else all of it."""
    if entry.text is not None:
        return entry.text
    texts = (each for each in entry.parameters.values() if isinstance(each, str) and each)
    return next(texts, None) or json.dumps(entry.parameters)[:200]
