"""Which code was entered, by each of the ways that this interpreter has."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import pytest

from lineal.executors import observe_code
from lineal.executors.observe_code import Counted, Profiled, Watch, can_count, make_watch

SOURCE = textwrap.dedent("""
    import functools

    def plain(): return 1

    def early(): return 1
    for _ in range(20): early()

    def generator():
        yield 1
        yield 2

    def begun():
        yield 1
        yield 2
    running = begun()
    next(running)

    class C:
        def method(self): return 1
        @property
        def attribute(self): return 2
        @classmethod
        def maker(cls): return {x for x in range(3)}
        def __eq__(self, other): return True

    shorthand = lambda: 3

    def outer():
        def inner(): return 4
        return inner
    inner = outer()
    many = [outer() for _ in range(20)]
    for each in many: each()

    def doubled(function):
        @functools.wraps(function)
        def wrapped(): return function()
        return wrapped

    @doubled
    def decorated(): return 5

    cached = functools.lru_cache(lambda x: x)

    def raising(): raise ValueError

    """)


def _profiled() -> Watch:
    return Profiled()


def _counted() -> Watch:
    if not can_count():
        pytest.skip("this interpreter has no counters")
    return Counted()


def _cheapest() -> Watch:
    return make_watch()


@pytest.fixture(params=[_cheapest, _counted, _profiled])
def watch(request: pytest.FixtureRequest) -> Iterator[Watch]:
    made = request.param()
    yield made
    made.close()


def loaded(watch: Watch, source: str = SOURCE, file: str = "/project/m.py") -> dict[str, Any]:
    """The names of a module that is watched from before it is run."""
    code = compile(source, file, "exec")
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            watch.add(inner)
    space: dict[str, Any] = {"__name__": "m"}
    exec(code, space)  # noqa: S102
    return space


def entered(watch: Watch, do: Callable[[], object]) -> list[str]:
    """The names of the functions that are entered; what is written inside them is left out."""
    watch.begin()
    do()
    names = {code.co_qualname for code in watch.end()}
    return sorted(name for name in names if not name.endswith(("comp>", "genexpr>")))


@pytest.mark.parametrize(
    ("call", "names"),
    [
        ("plain()", ["plain"]),
        ("early()", ["early"]),
        ("next(generator())", ["generator"]),
        ("next(running)", ["begun"]),
        ("C().method()", ["C.method"]),
        ("C().attribute", ["C.attribute"]),
        ("C.maker()", ["C.maker"]),
        ("C() == 1", ["C.__eq__"]),
        ("list(map(lambda f: f(), [shorthand]))", ["<lambda>"]),
        ("inner()", ["outer.<locals>.inner"]),
        ("many[7]()", ["outer.<locals>.inner"]),
        ("outer()", ["outer"]),
        ("decorated()", ["decorated", "doubled.<locals>.wrapped"]),
        ("cached(3)", ["<lambda>"]),
        ("plain", []),
    ],
)
def test_whatever_is_entered_is_noted(watch: Watch, call: str, names: list[str]) -> None:
    space = loaded(watch)
    watch.arm()

    assert entered(watch, lambda: eval(call, space)) == names


def test_code_that_raises_was_entered(watch: Watch) -> None:
    space = loaded(watch)

    def do() -> None:
        with contextlib.suppress(ValueError):
            space["raising"]()

    assert entered(watch, do) == ["raising"]


def test_other_threads_are_seen(watch: Watch) -> None:
    space = loaded(watch)

    def do() -> None:
        thread = threading.Thread(target=space["plain"])
        thread.start()
        thread.join()

    assert entered(watch, do) == ["plain"]


def test_each_time_is_told_anew(watch: Watch) -> None:
    space = loaded(watch)

    seen = [entered(watch, lambda: [space["plain"]() for _ in range(20)]) for _ in range(3)]

    assert seen == [["plain"]] * 3
    assert entered(watch, lambda: None) == []


def test_what_is_entered_aside_counts_only_when_it_is_entered_again(watch: Watch) -> None:
    space = loaded(watch)

    def do() -> None:
        space["generator"]
        with watch.aside():
            for name in ("plain", "early"):
                for _ in range(20):
                    space[name]()
        space["early"]()

    assert entered(watch, do) == ["early"]


def test_equal_code_of_another_file_is_another_code(watch: Watch) -> None:
    one, other = (loaded(watch, "def f(): return 1", file) for file in ("/project/a.py", "/project/b.py"))
    assert one["f"].__code__ == other["f"].__code__

    watch.begin()
    other["f"]()

    assert [code.co_filename for code in watch.end()] == ["/project/b.py"]


def test_a_function_stays_what_it_is(watch: Watch) -> None:
    space = loaded(watch)
    before = space["early"].__code__

    entered(watch, space["early"])

    assert space["early"].__code__ == before
    assert space["early"]() == 1


def test_a_forked_process_is_armed_already() -> None:
    """As the zygote does it: armed once, and what collections need not look at is frozen."""
    script = f"""
        import gc, os, sys
        from types import CodeType
        from lineal.executors.observe_code import make_watch
        watch, space = make_watch(), {{}}
        code = compile({SOURCE!r}, "/project/m.py", "exec")
        for inner in code.co_consts:
            if isinstance(inner, CodeType):
                watch.add(inner)
        exec(code, space)  # noqa: S102
        watch.arm()
        gc.freeze()
        for call in ("plain()", "early()", "many[3]()"):
            if os.fork() == 0:
                watch.begin()
                with watch.aside():
                    for _ in range(20): space["shorthand"]()
                eval(call, space)
                if call == "plain()":
                    space["shorthand"]()
                print(*sorted(code.co_qualname for code in watch.end()), flush=True)
                os._exit(0)
            os.wait()
        """

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines() == ["<lambda> plain", "early", "outer.<locals>.inner"]


def test_the_cheapest_way_is_not_the_dear_one() -> None:
    made = make_watch()

    if sys.implementation.name == "cpython":
        assert not isinstance(made, Profiled)
    made.close()


def test_a_process_may_watch_as_often_as_it_likes() -> None:
    for _ in range(20):
        watch = make_watch()
        space = loaded(watch)
        assert not isinstance(watch, Profiled) or sys.implementation.name != "cpython"
        assert entered(watch, space["plain"]) == ["plain"]
        watch.close()
        space["plain"]()


def test_counters_that_are_not_where_they_should_be_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe_code, "_OFFSET", observe_code._OFFSET + 8)

    assert not can_count()
