"""Every verb of the command line, in the order of `jobd --help`."""

from types import ModuleType

from jobd.cli import (
    backup,
    cancel,
    check,
    completion,
    dead,
    demo,
    enqueue,
    explain,
    health,
    history,
    logs,
    metrics,
    migrate,
    prune,
    queue,
    release,
    retry,
    run,
    show,
    status,
    tail,
    wait,
    workers,
)
from jobd.cli import exec as exec_verb
from jobd.cli import list as list_verb

VERBS: tuple[ModuleType, ...] = (
    run,
    demo,
    enqueue,
    exec_verb,
    list_verb,
    show,
    history,
    explain,
    logs,
    wait,
    cancel,
    retry,
    dead,
    release,
    status,
    workers,
    health,
    tail,
    queue,
    check,
    backup,
    prune,
    metrics,
    migrate,
    completion,
)
