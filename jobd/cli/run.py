"""`jobd run`: the daemon, in the foreground."""

import argparse
import os
import sys
from pathlib import Path

from jobd import errors
from jobd.cli.options import Settings, settings
from jobd.core.config import Config
from jobd.daemon.daemon import Daemon
from jobd.daemon.handlers import load_handlers
from jobd.daemon.log_writer import LogWriter
from jobd.log import configure
from jobd.store.connection import prepare_directory
from jobd.store.daemon_lock import DaemonLock

LAST_LINES = 2.0
STDOUT, STDERR = 1, 2


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "run",
        help="run the daemon in the foreground",
        description="Run the daemon: claim jobs and run them until SIGTERM or Ctrl-C. The first "
        "signal lets running jobs finish within timing.shutdown_grace; a second one does not "
        "wait. SIGHUP reloads the configuration.",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="run N jobs at the same time")
    parser.add_argument("--handlers", nargs="+", metavar="MODULE",
                        help="import these modules; their @jobd.job functions are the job types")
    parser.add_argument("--path", nargs="+", metavar="DIR",
                        help="look for the modules in DIR first")
    parser.add_argument("--no-wait", action="store_true",
                        help="exit with 69 when another daemon is active, instead of waiting")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    found = read_settings(args)
    prepare_directory(found.db)
    lock = DaemonLock(found.db)
    _take(lock, found.db, wait=not args.no_wait)
    handlers = load_handlers(found.config.pool.handlers, _search_path(found.config))
    if not handlers:
        print("jobd: no handlers are configured, so only commands run; name their module with "
              "--handlers MODULE or the setting pool.handlers", file=sys.stderr)
    writer = start_log(found.config)
    try:
        daemon = Daemon(found.db, found.config, handlers, lambda: _reload(args, writer))
        if sys.stderr.isatty():
            print(f"jobd: pid {os.getpid()} on {found.db}; Ctrl-C lets running jobs finish "
                  f"({found.config.timing.shutdown_grace:g} s), a second Ctrl-C does not wait",
                  file=sys.stderr)
        status = daemon.run()
    finally:
        writer.stop(LAST_LINES)
    # Threads that would not stop must not hold up the exit; what they ran is marked as left.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def read_settings(args: argparse.Namespace) -> Settings:
    """The settings with this verb's flags on top; SIGHUP reads them again."""
    flags = {
        "pool.workers": args.workers,
        "pool.handlers": args.handlers,
        "pool.path": args.path,
    }
    return settings(args, {name: value for name, value in flags.items() if value is not None})


def start_log(config: Config) -> LogWriter:
    """Send the log where the configuration says, through its own thread."""
    if config.log.file:
        writer = _file_writer(Path(config.log.file))
    else:
        # What handlers and their programs print must not stand among the log's lines.
        writer = LogWriter(os.dup(STDOUT))
        os.dup2(STDERR, STDOUT)
    _configure_log(config, writer)
    writer.start()
    return writer


def _file_writer(path: Path) -> LogWriter:
    try:
        return LogWriter(path)
    except OSError as error:
        raise errors.ConfigurationError(
            [f"log.file = {str(path)!r}: cannot be written: {error.strerror}"]
        ) from None


def _configure_log(config: Config, writer: LogWriter) -> None:
    pretty = config.log.format == "pretty" or (
        config.log.format == "auto" and writer.is_terminal
    )
    configure(config.log.level, writer.write, pretty=pretty, colours=writer.is_terminal)


def _reload(args: argparse.Namespace, writer: LogWriter) -> Config:
    """Read the configuration again for SIGHUP; the log level follows at once."""
    config = read_settings(args).config
    _configure_log(config, writer)
    return config


def _search_path(config: Config) -> list[str]:
    """`pool.path`, then the working directory for modules named by hand."""
    return [*config.pool.path, *([] if config.pool.path else [str(Path.cwd())])]


def _take(lock: DaemonLock, database: Path, *, wait: bool) -> None:
    if lock.acquire(blocking=False):
        return
    if not wait:
        raise errors.NoDaemon(f"jobd pid {lock.holder()} is active on {database}")
    print(f"waiting: jobd pid {lock.holder()} is active", file=sys.stderr, flush=True)
    lock.acquire(blocking=True)
