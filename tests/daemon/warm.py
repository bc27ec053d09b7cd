"""Starts `python -m jobd …` in an interpreter that has done its imports while the last test ran.

It saves a third of a second of every start. The process is the same in all else: its own, with its
own pipes, environment, directory and arguments, and `runpy` runs the package as `-m` does.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

SPARE = """
import json, os, runpy, sys
import jobd.cli.main, jobd.daemon.daemon
line = sys.stdin.readline()
if not line:
    sys.exit()
argv, environment, directory = json.loads(line)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.environ.clear()
os.environ.update(environment)
os.chdir(directory)
sys.path[0] = directory
sys.argv[:] = ["jobd", *argv]
runpy.run_module("jobd", run_name="__main__", alter_sys=True)
"""


class Starter:
    """Keeps one interpreter ready."""

    _spare: ClassVar["subprocess.Popen[bytes] | None"] = None

    @classmethod
    def start(
        cls, argv: Sequence[str], env: Mapping[str, str], cwd: Path, *, cold: bool
    ) -> "subprocess.Popen[bytes]":
        """A process for `argv` (python -m jobd …); `cold` really starts it from nothing."""
        if cold or list(argv[:3]) != [sys.executable, "-m", "jobd"]:
            return subprocess.Popen(argv, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process = cls._spare or cls._new()
        cls._spare = cls._new()
        assert process.stdin is not None
        process.stdin.write(json.dumps([argv[3:], dict(env), str(cwd)]).encode() + b"\n")
        process.stdin.close()
        return process

    @classmethod
    def put_away(cls) -> None:
        """End the one that nobody needed."""
        if cls._spare is not None:
            cls._spare.communicate()
            cls._spare = None

    @staticmethod
    def _new() -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-c", SPARE], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
