"""The smaller tables of the configuration: queues, commands, the log, limits."""

from dataclasses import dataclass

from jobd.core.settings import Choice, Text, Texts, Whole, setting

_BYTES = Whole(1, 256 * 1024 * 1024)


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """What the configuration says of one queue."""

    concurrency: int | None = setting(
        None, "How many jobs of this queue run at the same time.", Whole(1, 256)
    )


@dataclass(frozen=True, slots=True)
class Commands:
    """What programs get that jobd starts."""

    path: str = setting(
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "Where a program is looked for that is not named by its path, and its $PATH.",
        Text("directories with \":\" between them"),
    )
    environment: tuple[str, ...] = setting(
        ("HOME", "LANG", "LANGUAGE", "LC_*", "LOGNAME", "SHELL", "TMPDIR", "TZ", "USER"),
        "The variables of the daemon that a program gets; * stands for the rest of a name.",
        Texts("names of variables", "LC_*", r"[A-Za-z_][A-Za-z0-9_]*\*?"),
    )
    max_output: int = setting(
        10 * 1024 * 1024, "The most bytes kept of each output stream of an attempt.", _BYTES
    )


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged, how, and where to."""

    level: str = setting(
        "info", "The least level that is logged.", Choice("debug", "info", "warning", "error")
    )
    format: str = setting(
        "auto", "json, pretty, or auto: pretty on a terminal.", Choice("auto", "json", "pretty"),
        reload=False,
    )
    file: str = setting(
        "", "The file that the log goes to; empty is standard output.",
        Text("a path", empty=True), reload=False,
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """How large what is stored may be, in bytes."""

    max_payload: int = setting(1_048_576, "The largest payload of a job, in bytes.", _BYTES)
    max_result: int = setting(1_048_576, "The largest result of a job, in bytes.", _BYTES)
