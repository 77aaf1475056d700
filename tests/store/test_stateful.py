"""The local backend against the memory backend, which is assumed to be perfect, under any sequence of calls."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lineal_store.backends.local import LocalBackend
from lineal_store.backends.memory import MemoryBackend
from lineal_store.errors import LinealError
from lineal_store.protocols import Backend, ObjectInfo, Upload

names = st.sampled_from(["a", "b.c", "b-", "b/a", "b/a.x", "b/c/a", "b/c/d", "e/f/g/h", "e/f=/h", "top"])
prefixes = st.sampled_from(["", "a", "b", "b/", "b/a", "b/c", "b/c/", "e/f", "absent", "absent/"])
folders = st.sampled_from(["", "b/", "b/c/", "e/", "e/f/", "absent/"])
contents = st.binary(max_size=20)
uploads = st.lists(st.tuples(names, contents, st.booleans(), st.booleans()), max_size=12)


class Backends(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.mkdtemp(prefix="lineal-test-")
        self.local: Backend = LocalBackend(self.directory)
        self.model: Backend = MemoryBackend()

    def teardown(self) -> None:
        shutil.rmtree(self.directory)

    def same(self, method: str, *arguments: object) -> None:
        assert self.outcome(self.local, method, arguments) == self.outcome(self.model, method, arguments)

    def outcome(self, backend: Backend, method: str, arguments: tuple[object, ...]) -> object:
        try:
            result = getattr(backend, method)(*arguments)
        except LinealError as error:
            return type(error)
        if method == "list":
            return [timeless(info) for info in result]
        if method == "find":
            return {name: timeless(info) for name, info in result.items()}
        if method == "open":
            with result:
                return result.read()
        return result

    @rule(batch=uploads)
    def create(self, batch: list[tuple[str, bytes, bool, bool]]) -> None:
        results = []
        for backend in (self.local, self.model):
            given = []
            for number, (name, data, replace, from_file) in enumerate(batch):
                path = backend.spool() / str(number)
                if from_file:
                    path.write_bytes(data)
                given.append(Upload(name, path if from_file else data, replace))
            results.append(backend.create(given))
            assert list(backend.spool().iterdir()) == []
        assert results[0] == results[1]

    @rule(name=names)
    def read(self, name: str) -> None:
        self.same("read", name)
        self.same("open", name)

    @rule(some=st.lists(names, max_size=5))
    def find_some(self, some: list[str]) -> None:
        self.same("find", some)
        self.same("read_many", some)

    @rule(prefix=prefixes)
    def list_all(self, prefix: str) -> None:
        self.same("list", prefix)

    @rule(prefix=folders)
    def folders(self, prefix: str) -> None:
        # A folder may be listed for a while after it was emptied.
        ours, model = self.local.folders(prefix), self.model.folders(prefix)
        assert set(ours) >= set(model)
        assert list(ours) == sorted(ours)
        assert not any(list(self.local.list(f"{prefix}{emptied}/")) for emptied in set(ours) - set(model))

    @rule(some=st.lists(names, max_size=4))
    def delete_some(self, some: list[str]) -> None:
        self.same("delete", some)

    @rule()
    def open_again(self) -> None:
        self.local = LocalBackend(self.directory)

    @invariant()
    def they_hold_the_same(self) -> None:
        self.same("list", "")


def timeless(info: ObjectInfo) -> ObjectInfo:
    assert info.modified.tzinfo is UTC
    return ObjectInfo(info.name, info.size_bytes, datetime.min)


TestBackends = Backends.TestCase
TestBackends.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
