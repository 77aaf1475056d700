"""Look-ups by name at run time: what a literal name settles, and what stays a blind spot."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from lineal.fingerprint.facts import origins_of
from lineal.fingerprint.literals import LOADED, OWN_NAME, OWN_PACKAGE, Chain, chain_of, path_of, text_of
from lineal.fingerprint.reading import (
    METHODS,
    READERS,
    RESOURCES,
    encode_path,
    note_environment,
    note_read,
    note_variable,
)
from lineal.fingerprint.recursion import parse

if TYPE_CHECKING:
    from lineal.fingerprint.expressions import ExpressionWalker as Walker

    _Handler = Callable[[Walker, ast.Call, Chain | None], bool]

MARKS = {
    "__doc__": "docs",
    "getdoc": "docs",
    "__annotations__": "annotations",
    "__signature__": "annotations",
    "__annotate__": "annotations",
    "__type_params__": "annotations",
    "get_type_hints": "annotations",
    "getfullargspec": "annotations",
    "get_annotations": "annotations",
    "getsource": "source",
    "getsourcelines": "source",
    "getsourcefile": "source",
    "findsource": "source",
    "getcomments": "source",
    "__subclasses__": "subclasses",
}
"""Names whose use makes more count: docstrings, annotations, the source as it is written, subclasses."""

NAMES = {*MARKS, "eval", "exec", "globals", "__import__"}
"""Names that mean something when they are read, called or not (see `name_used`)."""


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


def name_used(walker: Walker, node: ast.Name) -> None:
    """A name of `NAMES` is looked up: as a value, or in a call that its literal argument does not settle."""
    if node.id in MARKS:
        walker.facts.marks.add(MARKS[node.id])
    elif node.id == "__import__":
        walker.facts.marks.add("dynamic")
        walker.spot("dynamic_import", "__import__ of a computed name", node)
    else:
        walker.facts.marks.add("own")
        if node.id != "globals":
            walker.spot("eval", f"{node.id} of text", node)


def module_of_look_up(node: ast.AST) -> Chain | None:
    """The module that ``sys.modules["m"]`` or a call of ``import_module("m")`` is, or None."""
    if isinstance(node, ast.Subscript) and chain_of(node.value) == ("sys", "modules"):
        key = text_of(node.slice)
        return (0, key[0]) if key is not None and key[1] else None
    return imported_by(node)


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
            if store:
                walker.mutate("in", [chain])
                return False
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
            walker.scope.load((LOADED, key[0]))
        return True
    if chain[-1] == "environ":
        if store:
            walker.mutate("in", [chain])
        else:
            note_variable(walker, node.slice, node)
        walker.scope.load(chain)
        walker.visit(node.slice)
        return True
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
    found = module_of_look_up(node)
    if found is None:
        return chain_of(node)
    if isinstance(node, ast.Call):
        walker.executes((int(found[0]), str(found[1]), None))
    return found


def _import_module(walker: Walker, node: ast.Call, chain: Chain | None) -> bool:
    literal = imported_by(node)
    if literal is not None:
        walker.executes((int(literal[0]), str(literal[1]), None))
        if not walker.dropped:
            walker.scope.load(literal)
        return True
    if not node.args:
        return False
    found = text_of(node.args[0])
    prefix, _, _ = found[0].rpartition(".") if found is not None else ("", "", "")
    if found is not None and found[0].startswith("."):
        package = _package_argument(node)
        prefix = (package or OWN_PACKAGE) + found[0].rpartition(".")[0]
    walker.executes((-1, prefix if prefix.strip(".") else "", None))
    if walker.dropped:  # it is there for what it runs
        walker.facts.marks.add("imports")
    else:
        walker.facts.marks.add("dynamic")
        if prefix.strip("."):
            walker.scope.load((-1, prefix))
    computed = f"{prefix}.…" if prefix.strip(".") else "a computed name"
    for stand_in, name in ((OWN_NAME, "__name__"), (OWN_PACKAGE, "__package__")):
        computed = computed.replace(stand_in, name)
    walker.spot("dynamic_import", f"{ast.unparse(node.func)} of {computed}", node)
    walker.visit_all([*node.args, *(keyword.value for keyword in node.keywords)])
    return True


def _find_spec(walker: Walker, node: ast.Call, chain: Chain | None) -> bool:
    """``find_spec("m")`` asks whether a module is there; what is in it does not matter."""
    found = text_of(node.args[0]) if node.args else None
    if found is not None and found[1] and found[0].strip("."):
        walker.facts.optional.add((0, found[0]))
        walker.scope.load((0, found[0], "__spec__"))
    return False


def _patch(walker: Walker, node: ast.Call, chain: Chain | None) -> bool:
    """``mock.patch("m.f", …)``: what it names is replaced."""
    found = text_of(node.args[0]) if node.args else None
    parts = found[0].split(".") if found is not None and found[1] else []
    if len(parts) > 1 and all(parts):
        walker.mutate("set", [(0, *parts)])
        walker.scope.load((0, *parts))
    return False


def _resolve_name(walker: Walker, node: ast.Call, chain: Chain | None) -> bool:
    """``pkgutil.resolve_name("m:f")`` and ``pydoc.locate("m.f")``: names in text; what matches is pulled in."""
    walker.facts.marks.add("dynamic")
    walker.executes((-1, "", None))
    if node.args and text_of(node.args[0]) is None:
        walker.spot("dynamic_import", f"{ast.unparse(node.func)} of a computed name", node)
    return False


def _run_file(walker: Walker, node: ast.Call, chain: Chain | None) -> bool:
    """Code that is run from a file: the project's own, where its path can be worked out."""
    given = node.args[:1] if chain is not None and chain[-1] == "run_path" else node.args[1:2]
    given += [each.value for each in node.keywords if each.arg in ("location", "path", "path_name")]
    found = path_of(given[0]) if given else None
    path = walker.local_path(found) if found is not None else None
    walker.facts.marks.add("dynamic")
    if path is not None:
        walker.spot("runs_file", f"{ast.unparse(node.func)}\n{encode_path(path)}", node)
    else:
        walker.spot("dynamic_import", ast.unparse(node.func), node)
    return False


def _run_named(walker: Walker, node: ast.Call, chain: Chain | None) -> bool:
    walker.facts.marks.add("dynamic")
    walker.executes((-1, "", None))
    walker.spot("dynamic_import", ast.unparse(node.func), node)
    return False


def _start_python(walker: Walker, node: ast.Call, chain: Chain | None) -> bool:
    """A child process that runs Python: a file of the project, or a module of it."""
    first = node.args[0] if node.args else None
    command = first.elts if isinstance(first, ast.List | ast.Tuple) else node.args
    program = (chain_of(command[0]) if command else None) or ("",)
    text = text_of(command[0]) if command else None
    if program[-1] != "executable" and (text is None or not text[0].startswith("python")):
        return False
    texts = [text_of(each) for each in command]
    words = [found[0] if found is not None and found[1] else "" for found in texts]
    for before, word, each in zip(words, words[1:], command[1:], strict=False):
        path = path_of(each)
        if before == "-m" and word:
            walker.spot("runs_module", word, node)
        elif path is not None and path[1] and path[1][-1].endswith(".py"):
            walker.spot("runs_file", f"{ast.unparse(node.func)}\n{encode_path(path)}", node)
    return False


def _evaluate(walker: Walker, node: ast.Call, chain: Chain | None) -> bool:
    """``eval`` and ``exec``: literal text is code like any other, but for where its names are bound."""
    if chain is None or len(chain) != 1:
        return False
    if chain[0] == "exec":
        walker.mutate("any", [(0, OWN_NAME)])
        walker.mutate("in", [origin for each in node.args[1:2] for origin in origins_of(each)])
    text = text_of(node.args[0]) if node.args else None
    if text is None or not text[1]:
        return False
    try:
        tree = parse(text[0].strip() if chain[0] == "eval" else text[0])
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    assert isinstance(tree, ast.Module)
    walker.aside(ast.increment_lineno(tree, node.lineno - 1).body)
    walker.visit_all([*node.args[1:], *(keyword.value for keyword in node.keywords)])
    return True


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
    if chain is not None and chain[-3:] == ("sys", "modules", "get") and node.args:
        key = text_of(node.args[0])
        if key is not None and key[1]:
            walker.scope.load((0, key[0]))
            walker.scope.load((LOADED, key[0]))
        else:
            walker.facts.marks.add("dynamic")
            walker.spot("dynamic_import", "sys.modules with a computed name", node)
    elif chain is not None:
        note_environment(walker, node, chain)
    return False


def _search_path(walker: Walker, node: ast.Call, chain: Chain | None) -> bool:
    if chain is not None and node.args:
        note_search(walker, ("sys", "path") if chain[-1] == "addsitedir" else chain[:-1], node.args[-1])
    return False


def note_search(walker: Walker, changed: Chain | None, added: ast.AST) -> None:
    """Something is put into the list ``changed``: folders, if that is ``sys.path`` or a package's own path."""
    if changed is None or (changed[-2:] != ("sys", "path") and changed != ("__path__",)):
        return
    if isinstance(added, ast.BinOp):
        note_search(walker, changed, added.left)
        note_search(walker, changed, added.right)
    for each in added.elts if isinstance(added, ast.List | ast.Tuple) else [added]:
        path = path_of(each)
        if path is not None and (path[1] or path[0] == "file"):
            (walker.facts.own_paths if changed == ("__path__",) else walker.facts.paths).append(path)


SPECIAL_CALLS: dict[str, _Handler] = {
    "getattr": _getattr,
    "hasattr": _getattr,
    "setattr": _setattr,
    "delattr": _setattr,
    "import_module": _import_module,
    "__import__": _import_module,
    "find_spec": _find_spec,
    "find_loader": _find_spec,
    "patch": _patch,
    "resolve_name": _resolve_name,
    "locate": _resolve_name,
    "run_module": _run_named,
    "run_path": _run_file,
    "spec_from_file_location": _run_file,
    "SourceFileLoader": _run_file,
    "entry_points": _run_named,
    "iter_entry_points": _run_named,
    **dict.fromkeys(
        ("run", "Popen", "call", "check_call", "check_output", "create_subprocess_exec"), _start_python
    ),
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
    "loads": note_read,
    **dict.fromkeys(READERS | METHODS | RESOURCES, note_read),
    **dict.fromkeys(("expandvars", "items", "keys", "values", "copy", "pop", "setdefault"), _environment),
}
"""What is done for a call of a function or a method of that name, before it is walked like any other; one that
returns True has left nothing to walk.
"""


def special_call(name: str) -> _Handler | None:
    """What is done for a call of something of this name, or None."""
    found = SPECIAL_CALLS.get(name)
    return note_read if found is None and name[:5] in ("read_", "scan_") else found
