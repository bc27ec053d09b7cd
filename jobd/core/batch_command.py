"""A batch of programs: one command line with places, and the arguments of each item made of it."""

from collections.abc import Mapping, Sequence
from posixpath import join, normpath
from typing import Any

from jobd.core.batch_input import Entry, Format
from jobd.core.placeholders import Template, as_text
from jobd.errors import BadInput


class CommandTemplate:
    """What `jobd batch exec … -- ARGV` says, filled for one item after the other.

    Places may be in the arguments and in the name of the file that is its standard input. Where
    no argument has one, the item becomes the last argument.
    """

    def __init__(
        self, argv: Sequence[str], cwd: str, stdin: str | None, shared: Mapping[str, Any],
        format_: Format,
    ) -> None:
        """`shared` are values that every item has, and may replace; `cwd` is absolute."""
        self._words = list(argv)
        self._stdin_word = stdin
        self._cwd = cwd
        self._shared = shared
        self._own_keys = format_ is Format.NDJSON
        self._argv: Template | None = None
        self._stdin: Template | None = None

    def own(self, entry: Entry, position: int) -> dict[str, Any]:
        """What the payload of this item holds beside what all have.

        Raises:
            BadInput: the item lacks what a place asks for.
        """
        argv = self._argv or self.fit(entry)
        values = {**self._shared, **entry.parameters}
        words = argv.fill(values, entry.text, position)
        if not argv.has_places:
            words.append(_whole(entry))
        if "/" in words[0]:
            words[0] = normpath(join(self._cwd, words[0]))
        elif not words[0]:
            raise BadInput("a command needs a program, and it gives an empty name")
        own: dict[str, Any] = {"argv": words}
        if self._stdin is not None:
            [file] = self._stdin.fill(values, entry.text, position)
            own["stdin"] = normpath(join(self._cwd, file))
        return own

    def fit(self, entry: Entry) -> Template:
        """Find the places, now that the first item tells what columns there are.

        Raises:
            BadInput: a place names what no item has.
        """
        columns = None if self._own_keys else [*entry.parameters, *self._shared]
        argv = Template(self._words, columns)
        argv.check_shell()
        stdin = None if self._stdin_word is None else Template([self._stdin_word], columns)
        several = entry.text is None and not self._own_keys
        if several and (argv.wants_whole or (stdin is not None and stdin.wants_whole)):
            raise BadInput(f"{{}} is all of an item, and here it has columns: {_named(entry)}")
        if several and not argv.has_places:
            raise BadInput(f"say which columns the program gets: {_named(entry)}")
        self._argv, self._stdin = argv, stdin
        return argv


def _whole(entry: Entry) -> str:
    """The item as one argument."""
    if entry.text is not None:
        return entry.text
    if len(entry.parameters) == 1:
        [(name, value)] = entry.parameters.items()
        return as_text(name, value)
    raise BadInput(f"say which of its keys the program gets: {_named(entry)}")


def _named(entry: Entry) -> str:
    return ", ".join(f"{{{name}}}" for name in entry.parameters)
