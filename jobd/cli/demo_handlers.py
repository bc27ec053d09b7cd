"""The handler of `jobd demo`: what is in a Python source file."""

import ast
import hashlib
import warnings
from pathlib import Path
from typing import Any

import jobd

# Old test files of the standard library have old escapes; the demo is not about those.
warnings.simplefilter("ignore")


@jobd.job("inspect_source", timeout=60)
def inspect_source(path: str) -> dict[str, Any]:
    """Size, lines, functions, classes and digest of one file.

    A file that Python cannot parse raises SyntaxError or ValueError: a `validation` failure,
    which no retry would mend.
    """
    source = Path(path).read_bytes()
    nodes = list(ast.walk(ast.parse(source)))
    return {
        "size": len(source),
        "lines": source.count(b"\n"),
        "functions": sum(
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes
        ),
        "classes": sum(isinstance(node, ast.ClassDef) for node in nodes),
        "sha256": hashlib.sha256(source).hexdigest(),
    }
