"""Starting the daemon: its settings, its lock, its handlers, its log; and leaving it."""

import argparse
import gc
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

# Handlers ask for these late, when files of another version may lie there.
import jobd.queue
import jobd.store.migrator  # noqa: F401
from jobd import clock, errors
from jobd.cli.in_force import Keeper
from jobd.cli.options import Settings, config_file, handler_flags, search_path, settings
from jobd.core.config import Config, reloaded
from jobd.core.presence import stands_still
from jobd.core.registry import Handler
from jobd.daemon.daemon import Daemon
from jobd.daemon.handlers import load_handlers
from jobd.daemon.kept_code import keep_code
from jobd.daemon.log_writer import LogWriter
from jobd.daemon.standard_streams import share_streams
from jobd.daemon.systemd import Systemd
from jobd.log import configure
from jobd.store.access import refuse_others
from jobd.store.connection import prepare_directory
from jobd.store.daemon_lock import DaemonLock
from jobd.store.examination import refuse_network
from jobd.store.presence import presence

LAST_LINES = 2.0
SWITCH_INTERVAL = 0.000_1
"""Seconds after which a busy handler must let the dispatcher have the interpreter's lock. With
Python's own 5 ms each of its statements would wait that long beside a handler that computes.
"""
STDOUT, STDERR = 1, 2


def serve(args: argparse.Namespace) -> int:
    """Be the daemon until it ends; the process exits here, with its status.

    Raises:
        JobdError: it could not start.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    systemd = Systemd(os.environ)
    environment = dict(os.environ)
    read = _reader(args, environment)
    found = read()
    refuse_others(found.db)
    prepare_directory(found.db)
    refuse_network(found.db)
    lock = DaemonLock(found.db)
    _take(lock, found.db, systemd, wait=not args.no_wait)
    keeper = Keeper(found, {**_flags(args), "db": args.db and str(args.db)}, environment,
                    systemd.unit)
    try:
        status = _work(found, read, keeper, systemd)
    except errors.JobdError as error:
        keeper.ended(error.exit_status, str(error).partition("\n")[0])
        raise
    # A handler may have put anything in the place of the streams.
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    # Threads that would not stop must not hold up the exit; what they ran is marked as left.
    os._exit(status)


def _work(
    found: Settings, read: Callable[[], Settings], keeper: Keeper, systemd: Systemd
) -> int:
    """Be the daemon, whose lock is held, until it ends; its exit status."""
    share_streams()
    handlers = _handlers(found.config)
    writer = start_log(found.config)

    def reload() -> Config:
        again = read()
        _configure_log(reloaded(found.config, again.config), writer)
        keeper.reloaded(again)
        return again.config

    try:
        daemon = Daemon(found.db, found.config, handlers, reload, systemd)
        _greet(found)
        gc.freeze()  # the modules stay: nobody need look through them for garbage again
        status = daemon.run()
        keeper.ended(status, daemon.why)
    finally:
        writer.stop(LAST_LINES)
    return status


def _handlers(config: Config) -> Mapping[str, Handler]:
    """The handlers by job type, with the code that their processes will begin from."""
    handlers = load_handlers(config.pool.handlers, search_path(config))
    if handlers:
        keep_code()
    else:
        print("jobd: no handlers are configured, so only commands run; name their module with "
              "--handlers MODULE or the setting pool.handlers", file=sys.stderr)
    return handlers


def _greet(found: Settings) -> None:
    """Tell a person at a terminal how this ends."""
    if os.isatty(STDERR):
        print(f"jobd: pid {os.getpid()} on {found.db}; Ctrl-C lets running jobs finish "
              f"({found.config.timing.shutdown_grace:g} s), a second Ctrl-C does not wait",
              file=sys.stderr)


def _reader(
    args: argparse.Namespace, environment: Mapping[str, str]
) -> Callable[[], Settings]:
    """Reads the settings with this verb's flags on top; SIGHUP reads them again.

    A handler may change the working directory and the environment meanwhile: paths are made
    absolute now, and the variables are those of the start.
    """
    file = config_file(args.config)
    args.config = None if file is None else str(file.absolute())
    given = _flags(args)
    return lambda: settings(args, given, environment)


def _flags(args: argparse.Namespace) -> dict[str, object]:
    flags = {"pool.workers": args.workers, **handler_flags(args)}
    return {name: value for name, value in flags.items() if value is not None}


def start_log(config: Config) -> LogWriter:
    """Send the log where the configuration says, through its own thread."""
    if config.log.file:
        writer = _file_writer(Path(config.log.file).absolute())
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


def _take(lock: DaemonLock, database: Path, systemd: Systemd, *, wait: bool) -> None:
    if lock.acquire(blocking=False) and lock.acquire_file(blocking=False):
        return
    seen = presence(database, clock.now_ms())
    pid = seen.known_as or lock.holder()
    if not wait:
        raise errors.NoDaemon(f"jobd pid {pid} is active on {database}")
    print(f"waiting: jobd pid {pid} is active", file=sys.stderr, flush=True)
    for each in stands_still(seen, None):
        print(f"jobd: {each.text} ({each.next_command})", file=sys.stderr, flush=True)
    systemd.status(f"waits for jobd pid {pid}, which is active on {database}")
    lock.acquire(blocking=True)
    lock.acquire_file(blocking=True)
