"""What every verb needs before it can begin: the configuration, its file, and the database."""

import argparse
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from jobd.cli.streams import complain
from jobd.errors import BadInput, ConfigurationError

if TYPE_CHECKING:
    from jobd.core.config import Config

SYSTEM_FILE = Path("/etc/jobd/jobd.toml")
DEFAULT_SYNCHRONOUS = "full"
DEFAULT_MAX_PAYLOAD = 1_048_576
_LEAD_TO_FILES = ("JOBD_CONFIG", "JOBD_DB")


class Settings:
    """The configuration, the database it means (absolute), and the file that was read, if any.

    `problems` says what was left out of it (`what_fits`); `tables` are what the file holds.
    Without a `config` every setting but the database is its default, and that is read when it is
    asked for: all settings are more to import than anything that most verbs do.
    """

    def __init__(
        self,
        db: str | None,
        config: "Config | None" = None,
        config_file: Path | None = None,
        problems: Sequence[str] = (),
        tables: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self.db = database(db)
        self.config_file = config_file
        self.problems = problems
        self.tables = tables
        self._configured, self._config = db, config

    @property
    def config(self) -> "Config":
        if self._config is None:
            from jobd.core.config import Config

            self._config = Config(db=self._configured)
        return self._config

    @property
    def synchronous(self) -> str:
        """The setting of that name, which every verb needs that opens the database."""
        return DEFAULT_SYNCHRONOUS if self._config is None else self._config.synchronous

    @property
    def max_payload(self) -> int:
        """The setting limits.max_payload, which everyone needs who puts jobs in."""
        return DEFAULT_MAX_PAYLOAD if self._config is None else self._config.limits.max_payload


def settings(
    args: argparse.Namespace,
    flags: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Read everything that `args.config`, `args.db` and the verb's own `flags` lead to.

    `flags` go by dotted name, as {"pool.workers": 8}; None is not given. `environment` stands
    for that of the process. Raises ConfigurationError with all problems at once.
    """
    file = config_file(args.config)
    variables = environment or os.environ
    if file is None and not flags and _says_nothing(variables):
        return Settings(_database_of(args, variables))
    from jobd.core.config import load

    tables = {} if file is None else read_toml(file)
    given = {**(flags or {}), "db": args.db and str(args.db)}
    config = load(tables, variables, given, file=str(file))
    return Settings(config.db, config, file, tables=tables)


def for_looking(args: argparse.Namespace) -> Settings:
    """As `settings`, for verbs that change nothing: a broken file does not blind them.

    What is wrong is said on standard error and left out.
    """
    found = what_fits(args)
    for problem in found.problems:
        complain(problem)
    if found.problems:
        complain(f"going on with the rest of the configuration, on {found.db}")
    return found


def what_fits(args: argparse.Namespace) -> Settings:
    """As `settings`, but what is wrong in file or environment is left out and told in `problems`.

    Raises ConfigurationError when `--config` names no file, or no database is meant.
    """
    file = config_file(args.config)
    if file is None and _says_nothing(os.environ):
        return Settings(_database_of(args, os.environ))
    from jobd.core.config import load_what_fits

    problems: list[str] = []
    tables: Mapping[str, object] = {}
    try:
        tables = {} if file is None else read_toml(file)
    except ConfigurationError as error:
        if file is None or (args.config and not os.path.lexists(file)):
            raise
        problems, tables = error.problems, _database_named_in(file)
    given = {"db": args.db and str(args.db)}
    config, more = load_what_fits(tables, os.environ, given, file=str(file))
    return Settings(config.db, config, file, [*problems, *more])


def _says_nothing(environment: Mapping[str, str]) -> bool:
    """Whether no variable may be a setting or a mistake, but for the one of the database."""
    return not any(text and name.startswith("JOBD_") and name not in _LEAD_TO_FILES
                   for name, text in environment.items())


def _database_of(args: argparse.Namespace, environment: Mapping[str, str]) -> str | None:
    return str(args.db) if args.db else environment.get("JOBD_DB") or None


def _database_named_in(file: Path) -> Mapping[str, object]:
    """The setting `db` of a file that is no TOML as a whole, when its line is."""
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return {}
    for line in text.splitlines():
        if line.lstrip().startswith("["):
            break
        if re.match(r"\s*db\s*=", line):
            import tomllib

            try:
                return tomllib.loads(line)
            except ValueError:
                break
    return {}


def add_handler_options(parser: argparse.ArgumentParser) -> None:
    """--handlers and --path, for verbs that import or look for the handlers."""
    parser.add_argument("--handlers", nargs="+", action="extend", metavar="MODULE",
                        help="import these modules; their @jobd.job functions are the job types "
                        "(default: pool.handlers)")
    parser.add_argument("--path", nargs="+", action="extend", metavar="DIR",
                        help="look for the modules in DIR first (default: pool.path, else the "
                        "working directory)")


def handler_flags(args: argparse.Namespace) -> dict[str, object]:
    """What --handlers and --path set; directories are made absolute, for who moves meanwhile."""
    for module in args.handlers or ():
        if "," in module:
            apart = " ".join(filter(None, module.split(",")))
            raise BadInput(f"--handlers {module}: put spaces between modules: --handlers {apart}")
    path = args.path and [os.path.abspath(directory) for directory in args.path]
    return {"pool.handlers": args.handlers, "pool.path": path}


def search_path(config: "Config") -> list[str]:
    """Where handlers are looked for: `pool.path`; without one, the working directory."""
    return [*config.pool.path, *([] if config.pool.path else [str(Path.cwd())])]


def config_file(named: str | Path | None) -> Path | None:
    """The file at `named`, else $JOBD_CONFIG, else the first standard place that has one."""
    explicit = named or os.environ.get("JOBD_CONFIG")
    if explicit:
        return Path(explicit)
    return first_existing([SYSTEM_FILE, *(home / ".config/jobd/jobd.toml" for home in _home())])


def first_existing(places: Iterable[Path]) -> Path | None:
    """The first of `places` where something is; what may not be looked at is not there."""
    return next((place for place in places if os.path.exists(place)), None)


def read_toml(file: Path) -> dict[str, object]:
    """The tables of a TOML file; ConfigurationError names the line of what is no TOML."""
    import tomllib  # for most users there is no file

    try:
        content = file.read_bytes()
        return tomllib.loads(content.decode())
    except FileNotFoundError:
        problem = "no such file"
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"is not UTF-8 (at line {line})"
    except RecursionError:
        problem = "is nested too deeply"
    except ValueError as error:
        problem = f"is not TOML: {error}"
    raise ConfigurationError([f"configuration file {file}: {problem}"])


def database(configured: str | None) -> Path:
    """The database at `configured`, else in $STATE_DIRECTORY, else in the home directory."""
    if configured is not None:
        return Path(os.path.realpath(os.path.expanduser(configured)))
    # systemd separates several state directories by colons; the first is the service's own.
    state = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    places = [Path(state)] if state else [home / ".local/state/jobd" for home in _home()]
    if not places:
        problem = "this user has no home directory: name the database with --db or $JOBD_DB"
        raise ConfigurationError([problem])
    return Path(os.path.realpath(places[0] / "jobd.db"))


def _home() -> list[Path]:
    """The home directory, in a list that is empty for a user who has none."""
    try:
        return [Path.home()]
    except RuntimeError:
        return []
