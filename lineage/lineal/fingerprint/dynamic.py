"""Look-ups by name at run time: what a literal name settles, and what stays a blind spot."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from lineal.fingerprint.facts import origins_of
from lineal.fingerprint.literals import OWN_NAME, OWN_PACKAGE, Chain, chain_of, path_of, text_of

if TYPE_CHECKING:
    from lineal.fingerprint.expressions import ExpressionWalker as Walker

    _Handler = Callable[[Walker, ast.Call, Chain | None], bool]

MARKS = {
    "__doc__": "docs",
    "getdoc": "docs",
    "__annotations__": "annotations",
    "__signature__": "annotations",
    "__annotate__": "annotations",
    "get_type_hints": "annotations",
    "getfullargspec": "annotations",
    "get_annotations": "annotations",
    "getsource": "source",
    "getsourcelines": "source",
    "getsourcefile": "source",
    "__subclasses__": "subclasses",
}
"""Names whose use makes more count: docstrings, annotations, the source as it is written, subclasses."""

_READERS = frozenset(
    [
        "open",
        "read_csv",
        "read_parquet",
        "read_json",
        "read_excel",
        "read_table",
        "read_feather",
        "read_pickle",
        "read_hdf",
        "read_text",
        "read_bytes",
        "load",
        "loadtxt",
        "genfromtxt",
        "fromfile",
        "scan_csv",
        "scan_parquet",
        "memmap",
        "open_dataset",
        "imread",
    ]
)
_UNPICKLERS = frozenset({("pickle", "load"), ("pickle", "loads"), ("joblib", "load"), ("dill", "load"), ("dill", "loads"),
                         ("cloudpickle", "load"), ("cloudpickle", "loads"), ("torch", "load"), ("pd", "read_pickle"),
                         ("pandas", "read_pickle")})  # fmt: skip


def imported_by(node: ast.AST) -> Chain | None:
    """The module that a call of ``import_module`` or ``__import__`` with a literal name brings, or None."""
    if not isinstance(node, ast.Call) or not node.args:
        return None
    chain = chain_of(node.func)
    if chain is None or chain[-1] not in ("import_module", "__import__"):
        return None
    found = text_of(node.args[0])
    if found is None or not found[1] or not found[0].strip("."):
        return None
    text = found[0]
    level = len(text) - len(text.lstrip("."))
    if chain[-1] == "__import__":
        return (0, text if _takes_from(node) else text.partition(".")[0])
    if level == 0:
        return (0, text)
    package = _package_argument(node)
    if package is None or level > 1:
        return (level, text[level:]) if package in (OWN_PACKAGE, None) else None
    return (0, f"{package}.{text[1:]}")


def _takes_from(node: ast.Call) -> bool:
    return len(node.args) > 3 or any(keyword.arg == "fromlist" for keyword in node.keywords)


def _package_argument(node: ast.Call) -> str | None:
    given = node.args[1] if len(node.args) > 1 else None
    for keyword in node.keywords:
        if keyword.arg == "package":
            given = keyword.value
    found = text_of(given) if given is not None else None
    return found[0] if found is not None and found[1] else None


def special_subscript(walker: Walker, node: ast.Subscript) -> bool:
    """``globals()["f"]``, ``sys.modules["m"]``, ``os.environ["X"]``; True when nothing is left to visit."""
    store = node.ctx.__class__ is not ast.Load
    key = text_of(node.slice)
    if isinstance(node.value, ast.Call) and chain_of(node.value.func) in (
        ("globals",),
        ("vars",),
        ("locals",),
    ):
        if node.value.args or (chain_of(node.value.func) != ("globals",) and walker.deferred):
            return False
        literal = key is not None and key[1]
        if store:
            walker.mutate(
                "set" if literal else "any", [(0, OWN_NAME, key[0]) if literal and key else (0, OWN_NAME)]
            )
        elif literal and key is not None:
            walker.scope.load((0, OWN_NAME, key[0]))
        else:
            walker.facts.marks.add("own")
        walker.visit(node.slice)
        return True
    chain = chain_of(node.value)
    if chain is None:
        return False
    if chain[-2:] == ("sys", "modules"):
        if key is None or not key[1]:
            walker.facts.marks.add("dynamic")
            walker.spot("dynamic_import", "sys.modules with a computed name", node)
            return False
        if store:
            walker.mutate("any", [(0, key[0])])
            return True
        if key[0] == OWN_NAME:
            walker.facts.marks.add("own")
        else:
            walker.scope.load((0, key[0]))
        return True
    if chain[-1] == "environ" and not store:
        walker.spot("environment", key[0] if key and key[1] else "a computed name", node)
    return False


def _getattr(walker: Walker, node: ast.Call, chain: Chain | None) -> bool:
    """``getattr(module, "name")`` is ``module.name``; a computed name uses the object whole."""
    if chain is None or len(chain) != 1 or len(node.args) < 2:
        return False
    owner, name = _chain_or_import(walker, node.args[0]), text_of(node.args[1])
    if owner is None or name is None or not name[1]:
        return False
    walker.scope.load((*owner, name[0]))
    if name[0] in MARKS:
        walker.facts.marks.add(MARKS[name[0]])
    walker.visit_all(node.args[2:])
    return True


def _setattr(walker: Walker, node: ast.Call, chain: Chain | None) -> bool:
    if chain is None or len(chain) != 1 or len(node.args) < 2:
        return False
    owner, name = _chain_or_import(walker, node.args[0]), text_of(node.args[1])
    if owner is None:
        walker.mutate("in", origins_of(node.args[0]))
        return False
    if name is not None and name[1]:
        walker.mutate("set", [(*owner, name[0])])
        if owner[0] != 0:
            walker.scope.load((*owner, name[0]))
    else:
        walker.mutate("any", [owner])
        walker.visit(node.args[0])
    walker.visit_all(node.args[1:])
    return True


def _chain_or_import(walker: Walker, node: ast.AST) -> Chain | None:
    if isinstance(node, ast.Subscript) and chain_of(node.value) == ("sys", "modules"):
        key = text_of(node.slice)
        return (0, key[0]) if key is not None and key[1] else None
    imported = imported_by(node)
    if imported is not None:
        walker.executes((int(imported[0]), str(imported[1]), None))
        return imported
    return chain_of(node)


def _import_module(walker: Walker, node: ast.Call, chain: Chain | None) -> bool:
    literal = imported_by(node)
    if literal is not None:
        walker.executes((int(literal[0]), str(literal[1]), None))
        if walker.use != "e":
            walker.scope.load(literal)
        return True
    if not node.args:
        return False
    found = text_of(node.args[0])
    prefix, _, _ = found[0].rpartition(".") if found is not None else ("", "", "")
    if found is not None and found[0].startswith("."):
        package = _package_argument(node)
        prefix = (package or OWN_PACKAGE) + found[0].rpartition(".")[0]
    if prefix.strip("."):
        walker.executes((-1, prefix, None))
        walker.scope.load((-1, prefix))
    walker.facts.marks.add("dynamic")
    computed = f"{prefix}.…" if prefix.strip(".") else "a computed name"
    for stand_in in (OWN_NAME, OWN_PACKAGE):
        computed = computed.replace(stand_in, "")
    walker.spot("dynamic_import", f"{ast.unparse(node.func)} of {computed}", node)
    walker.visit_all([*node.args, *(keyword.value for keyword in node.keywords)])
    return True


def _resolve_name(walker: Walker, node: ast.Call, chain: Chain | None) -> bool:
    """``pkgutil.resolve_name("m:f")`` and ``pydoc.locate("m.f")``: names in text; what matches is pulled in."""
    walker.facts.marks.add("dynamic")
    if node.args and text_of(node.args[0]) is None:
        walker.spot("dynamic_import", f"{ast.unparse(node.func)} of a computed name", node)
    return False


def _run_file(walker: Walker, node: ast.Call, chain: Chain | None) -> bool:
    walker.facts.marks.add("dynamic")
    walker.spot("dynamic_import", ast.unparse(node.func), node)
    return False


def _evaluate(walker: Walker, node: ast.Call, chain: Chain | None) -> bool:
    if chain is None or len(chain) != 1:
        return False
    walker.facts.marks.add("own")
    if chain[0] == "exec":
        walker.mutate("any", [(0, OWN_NAME)])
    walker.spot("eval", f"{chain[0]} of text", node)
    return False


def _namespace(walker: Walker, node: ast.Call, chain: Chain | None) -> bool:
    if chain is None or len(chain) != 1 or node.args:
        return False
    if chain[0] == "globals" or not walker.deferred:
        walker.facts.marks.add("own")
        walker.scope.load((0, OWN_NAME))
    return False


def _signature(walker: Walker, node: ast.Call, chain: Chain | None) -> bool:
    walker.facts.marks.add("annotations")
    return False


def _environment(walker: Walker, node: ast.Call, chain: Chain | None) -> bool:
    if chain is not None and (chain[-1] == "getenv" or chain[-2:] == ("environ", "get")) and node.args:
        key = text_of(node.args[0])
        walker.spot("environment", key[0] if key and key[1] else "a computed name", node)
    return False


def _search_path(walker: Walker, node: ast.Call, chain: Chain | None) -> bool:
    if chain is not None and (chain[-3:-1] == ("sys", "path") or chain[-1] == "addsitedir") and node.args:
        given = node.args[-1]
        for each in given.elts if isinstance(given, ast.List | ast.Tuple) else [given]:
            path = path_of(each)
            if path is not None:
                walker.facts.paths.append(path)
    return False


def _reader(walker: Walker, node: ast.Call, chain: Chain | None) -> bool:
    """A read of a file whose path can be worked out: a blind spot unless it is declared."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else chain[-1] if chain else ""
    if chain is not None and chain[-2:] in _UNPICKLERS:
        walker.spot("unpickle", ast.unparse(node.func), node)
    given = node.args[0] if node.args else None
    mode = node.args[1] if len(node.args) > 1 else None
    if name in ("read_text", "read_bytes") or (name == "open" and isinstance(node.func, ast.Attribute)):
        mode = given if name == "open" else None
        given = node.func.value if isinstance(node.func, ast.Attribute) else None
        if isinstance(given, ast.Constant | ast.Name) and chain in (
            ("io", "open"),
            ("gzip", "open"),
            ("bz2", "open"),
        ):
            given, mode = node.args[0] if node.args else None, None
    if given is None or isinstance(given, ast.Name | ast.Attribute):
        return False
    if isinstance(mode, ast.Constant) and isinstance(mode.value, str) and mode.value[:1] in ("w", "a", "x"):
        return False
    path = path_of(given)
    if path is not None and path[1]:
        walker.facts.spots.append(("undeclared_read", encode_path(path), node.lineno))
    return False


def encode_path(path: tuple[object, tuple[str, ...]]) -> str:
    """A `PathText` as text, for a blind spot that is worked out later (`decode_path`)."""
    base = ".".join(map(str, path[0])) if isinstance(path[0], tuple) else path[0]
    return "\0".join([f"{'name ' if isinstance(path[0], tuple) else ''}{base}", *path[1]])


def decode_path(text: str) -> tuple[Chain | str, tuple[str, ...]]:
    """The path that `encode_path` wrote."""
    base, *parts = text.split("\0")
    return (tuple(base[5:].split(".")) if base.startswith("name ") else base), tuple(parts)


SPECIAL_CALLS: dict[str, _Handler] = {
    "getattr": _getattr,
    "hasattr": _getattr,
    "setattr": _setattr,
    "delattr": _setattr,
    "import_module": _import_module,
    "__import__": _import_module,
    "resolve_name": _resolve_name,
    "locate": _resolve_name,
    "run_module": _run_file,
    "run_path": _run_file,
    "spec_from_file_location": _run_file,
    "SourceFileLoader": _run_file,
    "eval": _evaluate,
    "exec": _evaluate,
    "globals": _namespace,
    "vars": _namespace,
    "locals": _namespace,
    "dir": _namespace,
    "signature": _signature,
    "getenv": _environment,
    "get": _environment,
    "insert": _search_path,
    "append": _search_path,
    "extend": _search_path,
    "addsitedir": _search_path,
    "loads": _reader,
    **dict.fromkeys(_READERS, _reader),
}
