"""Reads of files and of the environment, as far as the code shows them: what is not declared is a blind spot."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from lineal.fingerprint.literals import LOADED, OWN_NAME, Chain, PathText, chain_of, path_of, text_of

if TYPE_CHECKING:
    from lineal.fingerprint.expressions import ExpressionWalker as Walker

READERS = frozenset(
    [
        "open",
        "memmap",
        "fromfile",
        "genfromtxt",
        "loadtxt",
        "loadmat",
        "load",
        "imread",
        "open_dataset",
        "open_zarr",
        "read",
        "ZipFile",
        "TarFile",
        "connect",
        "as_file",
        "listdir",
        "scandir",
        "walk",
    ]
)
"""Functions whose first argument is the path of what they read; so is that of any ``read_…`` and ``scan_…``."""

METHODS = frozenset({"read_text", "read_bytes", "open", "iterdir", "glob", "rglob"})
"""Methods of the path that they read."""

RESOURCES = frozenset(
    [
        "read_text",
        "read_binary",
        "open_text",
        "open_binary",
        "get_data",
        "contents",
        "path",
        "resource_string",
        "resource_stream",
        "resource_filename",
    ]
)
"""Functions that are given a package and the name of a file in it."""

_UNPICKLERS = frozenset({("pickle", "load"), ("pickle", "loads"), ("joblib", "load"), ("dill", "load"), ("dill", "loads"),
                         ("cloudpickle", "load"), ("cloudpickle", "loads"), ("torch", "load"), ("pd", "read_pickle"),
                         ("pandas", "read_pickle")})  # fmt: skip
_MODE = re.compile(r"[rwxabtU+]{1,3}\Z")
_EVERY_VARIABLE = frozenset({"items", "keys", "values", "copy"})


def note_read(walker: Walker, node: ast.Call, chain: Chain | None) -> bool:
    """A call that may read a file."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else chain[-1] if chain else ""
    if chain is not None and chain[-2:] in _UNPICKLERS:
        walker.spot("unpickle", ast.unparse(node.func), node)
    path, mode = _resource(node) if name in RESOURCES and len(node.args) > 1 else None, None
    if path is None:
        path, mode = _path_and_mode(node, str(name))
    if mode is not None and mode[:1] in ("w", "a", "x"):
        return False
    if path is not None and path[0] == "file" and not path[1]:
        walker.facts.marks.add("source")  # its own text
        return False
    path = walker.local_path(path) if path is not None else None
    if path is None or (not path[1] and isinstance(path[0], str)):
        return False
    if name in ("load", "read", "connect", "walk", "path") and path[1] and "." not in path[1][-1]:
        return False  # such names are used for much else
    walker.spot("undeclared_read", encode_path(path), node)
    return False


def _path_and_mode(node: ast.Call, name: str) -> tuple[PathText | None, str | None]:
    """The path that a call reads and the mode in which, as far as they are written there."""
    texts = [each.value if isinstance(each, ast.Constant) else None for each in node.args[:2]]
    modes = [each if isinstance(each, str) and _MODE.match(each) else None for each in texts]
    if isinstance(node.func, ast.Attribute) and name in METHODS:
        first = path_of(node.args[0]) if node.args and name == "open" and modes[0] is None else None
        if first is not None and (first[1] or isinstance(first[0], tuple)):
            return first, modes[1] if len(modes) > 1 else None  # gzip.open(path)
        return path_of(node.func.value), modes[0] if modes and name == "open" else None
    if not node.args:
        return None, None
    return path_of(node.args[0]), modes[1] if len(modes) > 1 else None


def _resource(node: ast.Call) -> PathText | None:
    package, parts = _package(node.args[0]), [text_of(each) for each in node.args[1:]]
    if package is None or not all(part is not None and part[1] for part in parts):
        return None
    return package[0], tuple(part[0] for part in parts if part is not None)


def _package(node: ast.expr) -> PathText | None:
    return path_of(ast.Call(ast.Name("files"), [node], []))


def encode_path(path: PathText) -> str:
    """A path as text, for a blind spot that is worked out later (`decode_path`)."""
    base = ".".join(map(str, path[0])) if isinstance(path[0], tuple) else path[0]
    return "\0".join([f"{'name ' if isinstance(path[0], tuple) else ''}{base}", *path[1]])


def decode_path(text: str) -> PathText:
    """The path that `encode_path` wrote."""
    base, *parts = text.split("\0")
    return (tuple(base[5:].split(".")) if base.startswith("name ") else base), tuple(parts)


def note_environment(walker: Walker, node: ast.Call, chain: Chain) -> None:
    """A call that reads a variable: ``os.getenv("X")``, ``os.environ.get("X")``."""
    if chain[-2:-1] == ("environ",) and chain[-1] in _EVERY_VARIABLE:
        walker.spot("environment", "every variable", node)
    elif node.args and (chain[-1] == "getenv" or chain[-2:-1] == ("environ",)):
        note_variable(walker, node.args[0], node)
    elif chain[-1] == "expandvars":
        walker.spot("environment", "the variables in a path", node)


def note_variable(walker: Walker, key: ast.AST, node: ast.AST) -> None:
    """A variable is read whose name is ``key``."""
    name = text_of(key)
    walker.spot("environment", name[0] if name is not None and name[1] else "a computed name", node)


def note_membership(walker: Walker, node: ast.Compare) -> bool:
    """``"X" in os.environ``, ``"m" in sys.modules``; True when nothing is left to visit."""
    chain = chain_of(node.comparators[0])
    if len(node.ops) > 1 or not isinstance(node.ops[0], ast.In | ast.NotIn) or not chain:
        return False
    if chain[-2:] == ("sys", "modules"):
        module = text_of(node.left)
        if module is not None and module[1] and module[0] != OWN_NAME:
            walker.scope.load((LOADED, module[0]))
        return False
    if chain[-1] != "environ":
        return False
    note_variable(walker, node.left, node)
    walker.visit(node.left)
    walker.scope.load(chain)
    return True
