"""Where the items of a batch come from: a file or standard input, read as often as is needed."""

import argparse
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO

from jobd.cli.streams import complain
from jobd.cli.table import printable
from jobd.core.batch_input import BadLine, Complaints, Entry, Format, Reading, items
from jobd.errors import BadInput

A_PIECE = 65_536


def source_of(args: argparse.Namespace, max_payload: int) -> "Source":
    """The one source that the command line names.

    Raises:
        BadInput: it names none, or several, or one that cannot be read.
    """
    given = [(each, getattr(args, each.value)) for each in Format]
    named = [(format_, file) for format_, file in given if file is not None]
    if len(named) != 1:
        flags = ", ".join(f"--{each}" for each in Format)
        raise BadInput(f"say where the items come from, with one of {flags} and a FILE or -")
    [(format_, file)] = named
    delimiter = {"tab": "\t", "\\t": "\t"}.get(args.delimiter, args.delimiter)
    longest = 6 * max_payload
    return Source(file, Reading(format_, args.item_name, args.encoding, delimiter, longest))


class Source:
    """An open input. What cannot be read twice is copied to a temporary file first."""

    def __init__(self, file: str, how: Reading) -> None:
        self.how = how
        self.name = "standard input" if file == "-" else printable(file)
        self._file = _rereadable(file, self.name)
        self._looks = self._look()

    def __enter__(self) -> "Source":
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def entries(self) -> Iterator[Entry | BadLine]:
        """Every item and every bad line, from the beginning.

        Raises:
            BadInput: nothing of it can be read, or it is no more what it was the first time.
        """
        self._file.seek(0)
        pieces = _names if self.how.format is Format.NUL else _lines
        try:
            yield from items(pieces(self._file, self.how.longest), self.how)
        except BadInput as error:
            raise BadInput(f"{self.name}: {error}") from None
        if self._look() != self._looks:
            raise BadInput(f"{self.name} was changed while it was read; nothing was stored")

    def complaints(self) -> Complaints:
        return Complaints(self.name, self.how.word)

    def _look(self) -> tuple[int, int]:
        found = os.fstat(self._file.fileno())
        return found.st_size, found.st_mtime_ns


def _rereadable(file: str, name: str) -> BinaryIO:
    """The file at its beginning; a copy of what can be read only once."""
    try:
        opened: BinaryIO = sys.stdin.buffer if file == "-" else open(file, "rb")  # noqa: SIM115
        regular = stat.S_ISREG(os.fstat(opened.fileno()).st_mode)
    except IsADirectoryError:
        raise BadInput(f"{name} is a directory; for the files in it: find {name} -type f -print0 "
                       "| jobd batch … --find0 -") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadInput(f"{name} cannot be read: {why}") from None
    if regular and file != "-":
        return opened
    if opened.isatty():
        complain("reading items from this terminal; Ctrl-D ends them")
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the source
    shutil.copyfileobj(opened, copy)
    if file != "-":
        opened.close()
    copy.flush()
    return copy


def _lines(file: BinaryIO, longest: int) -> Iterator[bytes]:
    """Lines with their ends; one that is too long is cut behind what shows that it is."""
    while line := file.readline(longest + 1):
        if len(line) > longest:
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = file.readline(A_PIECE)
        yield line


def _names(file: BinaryIO, longest: int) -> Iterator[bytes]:
    """What stands between NULs; the last needs none behind it."""
    begun = b""
    while piece := file.read(A_PIECE):
        *whole, last = piece.split(b"\0")
        if whole:
            yield begun + whole[0]
            yield from whole[1:]
            begun = b""
        # What is too long already grows no more, and shows that it is.
        begun += last[: max(longest + 1 - len(begun), 0)]
    if begun:
        yield begun
