"""From what was typed as TARGET to a module, and from the module to its pipeline.

Reading a target runs none of the user's code: files are found by path and their pipelines by
syntax. Only ``load_module`` imports.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from lineal.api.nearest import did_you_mean
from lineal.errors import UsageError

if TYPE_CHECKING:
    from lineal.api.config import Configuration
    from lineal.stages import Pipeline

FORMS = "A target is path/to/file.py[:pipeline], package.module:pipeline, or a name from the configuration."


class Target(Struct, frozen=True):
    """A module, and the name in it that is meant.

    ``import_folder`` comes first on ``sys.path``. ``file`` is None where the module is found on
    ``sys.path`` alone. ``name`` is None where none was given and syntax shows not exactly one pipeline.
    """

    module: str
    import_folder: Path
    file: Path | None
    name: str | None

    def __str__(self) -> str:
        return f"{self.module}:{self.name}" if self.name else self.module


class ImportFailed(UsageError):
    """The user's module raised while it was imported."""

    kind = "import"


def find_start(text: str | None, folder: Path) -> Path:
    """Where the search for the project begins: the target's file where it names one, else ``folder``."""
    if text is not None:
        file = folder / _split(text, folder)[0]
        if file.is_file():
            return file
    return folder


def is_target(text: str, configuration: Configuration, folder: Path | None = None) -> bool:
    """Whether ``text`` is a target rather than a stage's name or id, where either may stand."""
    place, name = _split(text, folder or Path.cwd())
    return name is not None or _is_path(place, configuration, folder) or text in _configured(configuration)


def resolve(text: str | None, configuration: Configuration, *, folder: Path | None = None) -> Target:
    """The target that ``text`` names; None stands for the project's only pipeline.

    Paths are relative to ``folder`` (the current one by default), then to the project's root.
    Raises UsageError with what there is instead.
    """
    folder = folder or Path.cwd()
    if not text:
        return _only_pipeline(configuration)
    configured = _configured(configuration)
    if text in configured:
        return _at(configured[text], configuration, configuration.root)
    place, name = _split(text, folder)
    if place in configured and not _is_path(place, configuration, folder):
        return replace(_at(configured[place], configuration, configuration.root), name=name)
    return _at(text, configuration, folder)


def import_folders(target: Target, root: Path) -> list[Path]:
    """What comes first on ``sys.path``, in order: the target's folder, the project's root, its ``src``."""
    return [folder for folder in dict.fromkeys((target.import_folder, root, root / "src")) if folder.is_dir()]


def put_first(target: Target, root: Path) -> None:
    """Put the target's folders first on ``sys.path``."""
    wanted = [str(folder) for folder in import_folders(target, root)]
    sys.path[:] = wanted + [entry for entry in sys.path if entry not in wanted]


def load_module(target: Target, root: Path) -> ModuleType:
    """Import the target's module, with its folders first on ``sys.path``.

    Raises ImportFailed with the user's own line when the module raises, UsageError when another
    module of that name is in the way.
    """
    put_first(target, root)
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(target.module)
    except (Exception, SystemExit) as problem:
        raise _import_failed(target, root, problem) from problem
    found = getattr(module, "__file__", None)
    if target.file is not None and (found is None or Path(found).resolve() != target.file):
        raise UsageError(
            f"{target.file} cannot be imported: the module {target.module} is already {found or 'built in'}",
            "Rename the file, or put it into a package.",
        )
    return module


def pick_pipeline(module: ModuleType, name: str | None) -> Pipeline[..., object]:
    """The pipeline of that name, or without a name the only one that the module itself declares."""
    from lineal.stages import Pipeline

    everything = {key: value for key, value in vars(module).items() if isinstance(value, Pipeline)}
    declared = {key: value for key, value in everything.items() if value.module == module.__name__}
    file = getattr(module, "__file__", None) or module.__name__
    if name is not None:
        if name in everything:
            return everything[name]
        if name in vars(module):
            raise UsageError(
                f"{name} in {file} is a {type(vars(module)[name]).__name__}, not a pipeline", FORMS
            )
        raise UsageError(
            f"{file} declares no pipeline {name}{did_you_mean(name, declared)}", _those(sorted(declared))
        )
    distinct = {id(value): key for key, value in reversed(declared.items())}
    if len(distinct) == 1:
        return declared[next(iter(distinct.values()))]
    if not distinct:
        raise UsageError(f"{file} declares no pipeline", "Decorate a function of that file with @pipeline.")
    names = sorted(distinct.values())
    raise UsageError(
        f"{file} declares {len(names)} pipelines: {', '.join(names)}",
        f"Say which: {Path(str(file)).name}:{names[0]}",
    )


def find_pipelines(file: Path) -> list[str]:
    """Names of the pipelines that a file declares at its top level, by its syntax, in order.

    A file that is no Python has none.
    """
    try:
        source = file.read_bytes()
        if b"pipeline" not in source:
            return []
        body = ast.parse(source).body
    except (OSError, SyntaxError, ValueError):
        return []
    makers: set[str] = set()
    for statement in body:
        makers |= _makers(statement)
    names = (_declares(statement, makers) for statement in body)
    return list(dict.fromkeys(name for name in names if name is not None))


# --- by path, by module, by configuration ----------------------------------------------------------


def _at(text: str, configuration: Configuration, folder: Path) -> Target:
    place, name = _split(text, folder)
    if _is_path(place, configuration, folder):
        target = _by_path(place, name, configuration, folder)
    else:
        target = _by_module(place, name, configuration, folder)
    if target.name is None and target.file is not None:
        names = find_pipelines(target.file)
        if len(names) == 1:
            return replace(target, name=names[0])
    return target


def _split(text: str, folder: Path) -> tuple[str, str | None]:
    """(path or module, name or None); a colon inside the path of a file that exists is no separator."""
    if ":" not in text or (folder / text).is_file():
        return text, None
    place, _, name = text.rpartition(":")
    return place, name or None


def _is_path(place: str, configuration: Configuration, folder: Path | None) -> bool:
    if place.endswith(".py") or place.startswith((".", "~")):
        return True
    return any((base / place).is_file() for base in (folder or Path.cwd(), configuration.root))


def _by_path(place: str, name: str | None, configuration: Configuration, folder: Path) -> Target:
    path = Path(os.path.expanduser(place))  # noqa: PTH111 - where there is no such user it stays as it is
    for base in (folder, configuration.root):
        if (base / path).is_dir():
            raise UsageError(f"{place} is a folder, not a file", _candidates(configuration, base / path))
        file = (base / path).resolve()
        if file.is_file():
            break
    else:
        raise UsageError(
            f"there is no file {place}{did_you_mean(path.name, _python_files(configuration, path.parent))}",
            _candidates(configuration),
        )
    if file.suffix != ".py":
        raise UsageError(f"{place} is not a Python file", FORMS)
    parts = [] if file.stem == "__init__" else [file.stem]
    top = file.parent
    while (top / "__init__.py").is_file() and top != top.parent:
        parts.insert(0, top.name)
        top = top.parent
    for part in parts:
        if not part.isidentifier():
            raise UsageError(
                f"{place} cannot be imported: {part!r} is not a name that Python can import",
                "Rename it with letters, digits and '_' only.",
            )
    return Target(".".join(parts), top, file, name)


def _by_module(place: str, name: str | None, configuration: Configuration, folder: Path) -> Target:
    root = configuration.root
    if all(part.isidentifier() for part in place.split(".")):
        bases = [root, root / "src", folder]
        for base in bases:
            file = _module_file(base, place)
            if file is not None:
                return Target(place, base, file.resolve(), name)
        if _installed(place):
            return Target(place, root, None, name)
    nearby = did_you_mean(place, _configured(configuration))
    what = "module" if name else "target"
    raise UsageError(f"there is no {what} {place}{nearby}", _candidates(configuration))


def _module_file(base: Path, module: str) -> Path | None:
    path = base.joinpath(*module.split("."))
    for file in (path / "__init__.py", path.with_name(path.name + ".py")):
        if file.is_file():
            return file
    return None


def _installed(module: str) -> bool:
    """Whether ``sys.path`` has the module; unlike ``find_spec`` it imports none of its packages."""
    from importlib.machinery import PathFinder

    search: list[str] | None = None
    for depth, part in enumerate(module.split(".")):
        spec = PathFinder.find_spec(part if depth == 0 else module, search)
        if spec is None:
            return False
        search = list(spec.submodule_search_locations or ())
    return True


def _configured(configuration: Configuration) -> dict[str, str]:
    """Pipeline name to the configured target that ends with it.

    >>> from lineal.api.config import Configuration
    >>> _configured(Configuration(Path("/project"), "store", pipelines=("flights.py:flights",)))
    {'flights': 'flights.py:flights'}
    """
    names: dict[str, str] = {}
    for text in configuration.pipelines:
        place, name = _split(text, configuration.root)
        names.setdefault(name or Path(place).stem.rpartition(".")[2], text)
    return names


def _only_pipeline(configuration: Configuration) -> Target:
    """The one configured pipeline; where none is configured, the one that the project's files declare."""
    if configuration.pipelines:
        if len(configuration.pipelines) == 1:
            return resolve(configuration.pipelines[0], configuration, folder=configuration.root)
        raise UsageError(
            f"the project has {len(configuration.pipelines)} pipelines; say which is meant",
            _those(sorted(_configured(configuration))),
        )
    found = _declared_below(configuration.root)
    if len(found) == 1:
        return resolve(found[0], configuration, folder=configuration.root)
    if not found:
        raise UsageError(
            f"no pipeline was found in {configuration.root}",
            "Name its file: lineal run path/to/file.py. `lineal init` writes a project to start from.",
        )
    raise UsageError(f"the project has {len(found)} pipelines; say which is meant", _those(found))


# --- what there is ---------------------------------------------------------------------------------

_NOT_SOURCES = {"tests", "test", "node_modules", "site-packages", "build", "dist", "__pycache__"}
_MANY_FILES = 20_000  # where a folder is no project but somebody's home, the search ends


def _declared_below(folder: Path) -> list[str]:
    """``file.py:name`` of every pipeline declared in a folder and its sources, sorted."""
    return sorted(
        f"{file.relative_to(folder).as_posix()}:{name}"
        for file in _source_files(folder)
        for name in find_pipelines(file)
    )


def _source_files(folder: Path) -> Iterator[Path]:
    """The Python files below a folder without tests, hidden folders and virtual environments."""
    seen = 0
    for place, folders, files in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _NOT_SOURCES
            and not name.endswith(".egg-info")
            and not (here / name / "pyvenv.cfg").exists()
        )
        for name in sorted(files):
            seen += 1
            if seen > _MANY_FILES:
                return
            if name.endswith(".py") and not name.startswith("test_") and name != "conftest.py":
                yield here / name


def _candidates(configuration: Configuration, folder: Path | None = None) -> str:
    names = sorted(_configured(configuration)) if folder is None else []
    return _those(names or _declared_below(folder or configuration.root))


def _those(names: list[str], most: int = 8) -> str:
    if not names:
        return FORMS
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"There {'is' if len(names) == 1 else 'are'} {', '.join(names[:most])}{more}."


def _python_files(configuration: Configuration, folder: Path) -> list[str]:
    places = {Path.cwd() / folder, configuration.root / folder}
    return sorted({file.name for place in places if place.is_dir() for file in place.glob("*.py")})


def _makers(statement: ast.stmt) -> set[str]:
    """The spellings of Lineal's decorator that an import statement makes available."""
    match statement:
        case ast.ImportFrom(module="lineal", names=names):
            return {alias.asname or "pipeline" for alias in names if alias.name in ("pipeline", "*")}
        case ast.Import(names=names):
            return {f"{alias.asname or 'lineal'}.pipeline" for alias in names if alias.name == "lineal"}
    return set()


def _declares(statement: ast.stmt, makers: set[str]) -> str | None:
    """The pipeline's name where the statement is ``@pipeline def f`` or ``f = pipeline(…)``."""
    match statement:
        case ast.FunctionDef(name=name, decorator_list=decorators):
            return name if any(_makes(decorator, makers) for decorator in decorators) else None
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call):
            return name if _makes(call, makers) else None
    return None


def _makes(expression: ast.expr, makers: set[str]) -> bool:
    function = expression.func if isinstance(expression, ast.Call) else expression
    return isinstance(function, ast.Name | ast.Attribute) and ast.unparse(function) in makers


def _import_failed(target: Target, root: Path, problem: BaseException) -> ImportFailed:
    """The error with the innermost frame of the user's own code, which is where to look."""
    import traceback

    where = str(target.file or target.module)
    if isinstance(problem, SyntaxError) and problem.filename:
        where = f"{problem.filename}:{problem.lineno}"
    else:
        ours = os.sep + "importlib" + os.sep
        frames = [
            frame
            for frame in traceback.extract_tb(problem.__traceback__)
            if not frame.filename.startswith("<") and ours not in frame.filename
        ]
        own = [
            frame
            for frame in frames[1:]
            if any(_below(frame.filename, folder) for folder in (target.import_folder, root))
        ]
        if own:
            where = f"{own[-1].filename}:{own[-1].lineno}"
    message = f"importing {target.module} failed at {where}: {type(problem).__name__}: {problem}"
    hint: str | None = getattr(problem, "hint", None)
    if isinstance(problem, ModuleNotFoundError) and problem.name:
        hint = f"Install {problem.name.split('.')[0]} in {sys.prefix}, or add its folder to the project."
    return ImportFailed(message, hint)


def _below(file: str, folder: Path) -> bool:
    path = Path(file)
    return path.is_relative_to(folder) and "site-packages" not in path.parts
