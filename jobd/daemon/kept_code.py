"""The code of jobd as this daemon began with it, for the interpreters that it starts later.

An installation replaces the files of a package beneath whoever runs it. What the daemon itself
needs it has imported by then; a child that began from the new files might not understand it.
"""

import marshal
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import cache_from_source, find_spec
from itertools import chain
from pathlib import Path
from types import CodeType, ModuleType

PACKAGES = ("jobd", "structlog")
"""What a child is made of, the standard library aside."""

Kept = tuple[str, list[str] | None, bytes, bool]
"""Where a module lay, where its submodules lie if it is a package, its code or its source, and
whether it is code: marshalled, for as objects that of all modules takes far more memory."""

BEGIN = (
    "import marshal, sys\n"
    "with open(int(sys.argv.pop(1)), 'rb') as file: kept = marshal.load(file)\n"
    f"room = {{'__name__': {__name__!r}}}\n"
    f"_, _, code, is_compiled = kept[{__name__!r}]\n"
    "exec(marshal.loads(code) if is_compiled else code, room)\n"
    "sys.meta_path.insert(0, room['KeptCode'](kept))\n"
    "from jobd.daemon.isolated import main; main()"
)
"""What a child begins with; its first argument is the descriptor that `handed` gave."""


class KeptCode(InspectLoader):
    """Finds and loads modules from what was kept, wherever `sys.path` leads by now."""

    def __init__(self, kept: Mapping[str, Kept]) -> None:
        self._kept = kept

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """For the import system: where to find this module, if it is one of ours."""
        if name not in self._kept:
            return None
        origin, places, *_ = self._kept[name]
        spec = ModuleSpec(name, self, origin=origin)
        spec.submodule_search_locations = places
        spec.has_location = True
        return spec

    def get_code(self, name: str) -> CodeType:
        """For the import system: what to run in the module."""
        origin, _, code, is_compiled = self._kept[name]
        if not is_compiled:
            return self.source_to_code(code, origin)
        found: CodeType = marshal.loads(code)  # noqa: S302 - which nobody but us has had
        return found

    def get_source(self, name: str) -> str | None:
        """For tracebacks: the lines that run, not those that lie there by now."""
        *_, code, is_compiled = self._kept[name]
        return None if is_compiled else code.decode()


def keep_code() -> None:
    """Keep what a child needs, as it lies there now: to be called before the daemon is ready."""
    _kept()


def handed() -> int:
    """A descriptor of a file in memory with the kept code, for a child to read; the caller's."""
    descriptor = os.memfd_create("jobd", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(_kept())
        os.lseek(descriptor, 0, os.SEEK_SET)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@cache
def _kept() -> bytes:
    return marshal.dumps(dict(chain.from_iterable(map(_modules, PACKAGES))))


def _modules(package: str) -> Iterator[tuple[str, Kept]]:
    """Every module of a package by its name, imported or not: a child may want another one."""
    spec = find_spec(package)
    for place in (spec and spec.submodule_search_locations) or ():
        for path in sorted(Path(place).rglob("*.py")):
            name = ".".join((package, *path.relative_to(place).with_suffix("").parts))
            is_package = path.name == "__init__.py"
            places = [str(path.parent)] if is_package else None
            name = name.removesuffix(".__init__")
            yield name, (str(path), places, *_code(SourceFileLoader(name, str(path))))


def _code(loader: SourceFileLoader) -> tuple[bytes, bool]:
    """Compiled if it has been compiled already, else the source: reading is all it may take."""
    if os.path.exists(cache_from_source(loader.path)):
        return marshal.dumps(loader.get_code(loader.name)), True
    return loader.get_data(loader.path), False
