"""One attempt: take the inputs out of the store, call the stage, put the outputs into it."""

from __future__ import annotations

import os
import random
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, cast

from msgspec.structs import replace as replace_fields

from lineal.artifacts import (
    Directory,
    Encoded,
    EncodedInMemory,
    File,
    InMemoryCodec,
    codec_named,
    decode,
    decode_in_memory,
    encode,
    encode_in_memory,
    misfit,
)
from lineal.artifacts.annotations import required, says_nothing, spelled
from lineal.artifacts.codecs.protocol import class_name
from lineal.artifacts.lists import Member, read_list
from lineal.artifacts.schema import check
from lineal.artifacts.values import decode_value, import_by_name
from lineal.errors import LinealError, StoreUnavailable, spooling
from lineal.events import Failure
from lineal.executors.death import MEMORY_HINT
from lineal.executors.observe import Noted, Observer, side_products
from lineal.executors.observe_access import taking_note
from lineal.executors.protocol import Argument, Envelope, Given, Held, Hidden, Items, Outcome
from lineal.graph.records import Output
from lineal.stages import Stage
from lineal.stages.checkpoints import checkpoints_in
from lineal.stages.conditions import follow
from lineal.stages.running import outputs_in
from lineal.stages.signature import Port
from lineal.stages.wiring import Collection, Constant, Result
from lineal_store import Blob, Digest, Store
from lineal_store.errors import BlobMissing, DigestMismatch
from lineal_store.tree import Tree, TreeEntry

INLINE_BYTES = 16 * 1024

StageOf = Callable[[str, str], Stage[Any, Any]]
"""Finds the stage of a module and qualified name."""


def perform(envelope: Envelope, stage_of: StageOf, store: Store, observer: Observer) -> Outcome:
    """Run the attempt in this process. Every outcome is returned, none raised, but for `KeyboardInterrupt`.

    When it returns outputs, their bytes are durable, or carried in the outcome.
    """
    with observer.attempt(envelope) as noted, closing(_Inputs(envelope, stage_of, store)) as inputs:
        outcome = _perform(envelope, stage_of, store, inputs, noted)
    return outcome if outcome.failure is not None else replace_fields(outcome, observed=noted.observations)


def _perform(envelope: Envelope, stage_of: StageOf, store: Store, inputs: _Inputs, noted: Noted) -> Outcome:
    started = time.monotonic()
    work_seconds = 0.0
    scratch = envelope.scratch

    def ended(**facts: Any) -> Outcome:
        seconds = time.monotonic() - started
        return Outcome(envelope.attempt_id, seconds=seconds, work_seconds=work_seconds, **facts)

    try:
        stage = stage_of(envelope.module, envelope.qualname)
        arguments = _take(envelope, stage, inputs)
    except (BlobMissing, DigestMismatch) as error:
        lost = error.expected if isinstance(error, DigestMismatch) else error.digest
        return ended(lost=str(lost), failure=_contract(error))
    except StoreUnavailable as error:
        return ended(failure=_contract(error), unavailable=error)
    except LinealError as error:
        return ended(failure=_contract(error))
    try:
        with (
            outputs_in(f"{scratch}/output"),
            checkpoints_in(envelope.checkpoints or f"{scratch}/checkpoints"),
            taking_note(noted.log),
        ):
            _seed(envelope)
            args, kwargs = stage.signature.arguments(arguments)
            called = time.monotonic()
            try:
                value = stage.function(*args, **kwargs)
            finally:
                work_seconds = time.monotonic() - called
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        return ended(
            failure=Failure(
                "exception",
                "SystemExit",
                f"the stage called sys.exit({error.code!r})",
                "Return a value from the stage, or raise an exception that says what is wrong.",
            ),
            raised=("SystemExit",),
        )
    except BaseException as error:  # noqa: BLE001 — whatever a stage raises is its outcome
        return ended(**_failed(error, envelope.retry_if))
    try:
        outputs, carried = _put(envelope, stage, value, store)
    except StoreUnavailable as error:
        return ended(failure=_contract(error), unavailable=error)
    except LinealError as error:
        return ended(failure=_contract(error), raised=_class_names(error))
    own = [scratch, envelope.checkpoints] if envelope.checkpoints else [scratch]
    return ended(
        outputs=outputs,
        carried=carried,
        side_products=side_products(noted.log.written, apart_from=own),
    )


def failure_of(error: BaseException) -> Failure:
    """The failure that ``error`` is, with the user's own frames."""
    if isinstance(error, LinealError):
        return _contract(error)
    frames = traceback.StackSummary.from_list(
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((_OURS, "<frozen importlib"))
    )
    text = _shortened("".join([*frames.format(), *traceback.format_exception_only(error)]))
    name, message = type(error).__name__, _shortened(str(error))
    if isinstance(error, MemoryError):
        return Failure("out_of_memory", name, message or "no memory was left", MEMORY_HINT, text)
    return Failure("exception", name, message, None, text)


_OURS = str(Path(__file__).parents[1]) + os.sep
_LONGEST_TEXT = 8000  # a record holds many of them


def _contract(error: LinealError) -> Failure:
    return Failure("contract", type(error).__name__, _shortened(str(error)), error.hint)


def _shortened(text: str) -> str:
    """``text`` without its middle where it is too long for a record: beginnings and ends say most."""
    left_out = len(text) - _LONGEST_TEXT
    half = _LONGEST_TEXT // 2
    return text if left_out <= 0 else f"{text[:half]}\n… {left_out} characters left out …\n{text[-half:]}"


def _class_names(error: BaseException) -> tuple[str, ...]:
    return tuple(class_name(kind) for kind in type(error).__mro__ if kind is not object)


def _failed(error: BaseException, retry_if: str | None) -> dict[str, Any]:
    """What the outcome says of ``error``, which the stage raised; the stage's own function decides on another attempt."""
    failure, raised = failure_of(error), _class_names(error)
    if retry_if is None:
        return {"failure": failure, "raised": raised}
    try:
        repeatable = bool(cast("Callable[[BaseException], object]", import_by_name(retry_if))(error))
    except Exception as its_own:  # noqa: BLE001 — it must not hide what happened
        hint = (
            f"There was no other attempt: retry_on={retry_if} raised {class_name(type(its_own))}: {its_own}"
        )
        return {
            "failure": replace_fields(failure, hint=_shortened(hint)),
            "raised": raised,
            "repeatable": False,
        }
    return {"failure": failure, "raised": raised, "repeatable": repeatable}


# -- inputs -----------------------------------------------------------------------------------


def _take(envelope: Envelope, stage: Stage[Any, Any], inputs: _Inputs) -> dict[str, Any]:
    arguments = {}
    for name, argument in envelope.arguments.items():
        port = stage.signature.inputs[name]
        value = inputs.value(argument, f"{envelope.scratch}/input/{name}", name)
        if not isinstance(argument, Given | Hidden):
            _check_kind(value, port, envelope.stage_id)
        if port.schema is not None and not (value is None and port.optional):
            check(port.schema, value, where=f"{envelope.stage_id}, parameter {name}")
        arguments[name] = value
    return arguments


class _Inputs:
    """Where an attempt's inputs come from: out of the store, or along with the envelope."""

    def __init__(self, envelope: Envelope, stage_of: StageOf, store: Store) -> None:
        self._carried, self._scratch = envelope.carried, envelope.scratch
        self._stage_of, self._store = stage_of, store
        self._copies: list[Path] = []

    def close(self) -> None:
        for path in self._copies:
            _remove(path)

    def value(self, argument: Argument, folder: str, name: str) -> Any:
        """The value of the argument called ``name``; files are laid out in ``folder``."""
        match argument:
            case Given(encoded):
                return decode_value(encoded, resolve=import_by_name)
            case Hidden(value):
                return value
            case Items(kind, items, cls):
                values = [
                    self.value(item, f"{folder}/{place}", f"{name}-{place}")
                    for place, (_, item) in enumerate(items)
                ]
                places = tuple((key, Constant(None)) for key, _ in items)
                return Collection(kind, places, cls).build(values)
            case Held():
                return self._held(argument, folder, name)

    def _held(self, held: Held, folder: str, name: str) -> Any:
        if held.type == "directory":
            laid_out = self._laid_out(Digest.parse(held.digest), Path(folder, f"{name}{held.suffix}"))
            return Directory.held(held.url or str(laid_out), laid_out)
        if held.type == "list":
            return self._list(held, folder)
        if held.type == "file":
            path = self._path(held.digest)
            # readers infer formats from how a name ends, which is part of the key; the rest of the source's name is not
            link = Path(folder, f"{name}{held.suffix}")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
            return File.held(held.url or str(link), link)
        annotation: object = object
        if held.made_by is not None:  # bytes mean what they meant to the stage that wrote them
            module, qualname, output = held.made_by
            annotation = self._stage_of(module, qualname).signature.outputs.ports[output].annotation
        codec = codec_named(held.type)
        if isinstance(codec, InMemoryCodec):
            data = held.inline if held.inline is not None else self._carried.get(held.digest)
            data = self._store.blobs.read(Digest.parse(held.digest)) if data is None else data
            value = decode_in_memory(codec, data, annotation)
        else:
            value = decode(held.type, self._path(held.digest), annotation)
        return follow(Result("the upstream stage", "result", held.item), value) if held.item else value

    def _list(self, held: Held, folder: str) -> list[Any]:
        """What the calls of a mapped stage returned, in their order."""
        assert held.made_by is not None
        module, qualname, _ = held.made_by
        outputs = self._stage_of(module, qualname).signature.outputs
        tree = Tree.decode(self._store.blobs.read(Digest.parse(held.digest)))
        calls = read_list(tree, f"the list {held.digest}")
        return [
            outputs.assemble(
                [
                    self._member(call[name], (module, qualname, name), f"{folder}/{place}", name)
                    for name in outputs.ports
                ]
            )
            for place, call in enumerate(calls)
        ]

    def _member(self, member: Member, made_by: tuple[str, str, str], folder: str, name: str) -> Any:
        if member.codec == "directory" and member.digest is None:
            laid_out = self._links(Path(folder, name), member.files)
            return Directory.held(str(laid_out), laid_out)
        held = Held(str(member.digest), member.codec, (), None, member.suffix, made_by)
        return self._held(held, folder, name)

    def _path(self, name: str) -> Path:
        """A read-only local file with the bytes under the digest ``name``."""
        digest, carried = Digest.parse(name), self._carried.get(name)
        if carried is None:
            return self._store.blobs.fetch(digest)
        path = Path(f"{self._scratch}-{digest.hex}")
        if not path.exists():
            path.write_bytes(carried)
            path.chmod(0o444)
            self._copies.append(path)
        return path

    def _laid_out(self, digest: Digest, folder: Path) -> Path:
        """The tree under ``digest`` as a folder of links to the store's read-only files."""
        entries = Tree.decode(self._store.blobs.read(digest)).entries
        return self._links(folder, {entry.path: entry.digest for entry in entries})

    def _links(self, folder: Path, files: Mapping[str, Digest]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for path, digest in files.items():
            link = folder / path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(self._store.blobs.fetch(digest))
        return folder


def _check_kind(value: object, port: Port, stage_id: str) -> None:
    """Refuse an input that is not of the kind that the parameter declares."""
    if says_nothing(port.annotation) or (value is None and port.optional):
        return
    if misfit(value, required(port.annotation)[0]) is not None:
        raise WrongValue(
            f"{stage_id} takes {port.name} as {spelled(port.annotation)}, and is given {class_name(type(value))}",
            "Correct the annotation of one of the two stages.",
        )


def _seed(envelope: Envelope) -> None:
    random.seed(envelope.seed)
    for library in envelope.seeded:
        if library == "numpy":
            import numpy

            numpy.random.seed(envelope.seed % 2**32)
        elif library == "torch":
            sys.modules["torch"].manual_seed(envelope.seed)


# -- outputs ----------------------------------------------------------------------------------


def _put(
    envelope: Envelope, stage: Stage[Any, Any], value: object, store: Store
) -> tuple[Mapping[str, Output], Mapping[str, bytes]]:
    """Encode and describe every output; what is large is made durable in one batch, what is small is returned."""
    parts = _parts(stage, value)
    encoded: dict[str, Encoded | EncodedInMemory] = {}
    spooled: list[Path] = []
    try:
        with spooling(store.url):
            for name, port in stage.signature.outputs.ports.items():
                part = parts[name]
                if port.schema is not None and not (part is None and port.optional):
                    check(port.schema, part, where=f"{envelope.stage_id}, output {name}")
                small = encode_in_memory(part, port.annotation)
                if small is not None and len(small.data) <= INLINE_BYTES:  # no file is made for it
                    encoded[name] = small
                    continue
                path = store.backend.spool() / f"{envelope.attempt_id}-{name}"
                spooled.append(path)
                if small is None:
                    encoded[name] = encode(part, port.annotation, path, store.blobs.writer)
                else:
                    with store.blobs.writer(path) as stream:
                        stream.write(small.data)
                    encoded[name] = Encoded(small.codec, path, small.description)
            return _kept(encoded, store)
    finally:
        for path in spooled:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _kept(
    encoded: Mapping[str, Encoded | EncodedInMemory], store: Store
) -> tuple[Mapping[str, Output], Mapping[str, bytes]]:
    """The outputs by name, in the store from here, and the bytes of those that are carried to the engine instead."""
    blobs: dict[str, Blob] = {}
    carried: dict[str, bytes] = {}
    large: dict[str, Path] = {}
    of_trees: dict[Digest, bytes | Path] = {}
    for name, one in encoded.items():
        if isinstance(one, EncodedInMemory):
            data = one.data
        elif one.codec == "directory":
            tree = _tree_of(one.path, of_trees).encode()
            blobs[name] = Blob(Digest.of(tree), len(tree))
            of_trees[blobs[name].digest] = tree
            continue
        elif one.path.stat().st_size <= INLINE_BYTES:
            data = one.path.read_bytes()
        else:  # hashed by the store, once
            large[name] = one.path
            continue
        blobs[name] = Blob(Digest.of(data), len(data))
        carried[str(blobs[name].digest)] = data
    if large or of_trees:
        # No result stands on bytes that were damaged since.
        blobs.update(zip(large, store.blobs.mend([*large.values(), *of_trees.values()]), strict=False))
    outputs = {
        name: Output(
            digest=str(blobs[name].digest),
            type=one.codec,
            size_bytes=blobs[name].size_bytes,
            description=dict(one.description),
            inline=carried.get(str(blobs[name].digest)) if one.codec == "json" else None,
        )
        for name, one in encoded.items()
    }
    return outputs, carried


class WrongValue(LinealError):
    """A stage is given, or returned, something else than it declares."""

    kind = "contract"

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.message, self.hint = message, hint

    def __str__(self) -> str:
        return self.message


def _parts(stage: Stage[Any, Any], value: Any) -> dict[str, object]:
    """What the stage returned, by the names of its outputs."""
    outputs = stage.signature.outputs
    names = list(outputs.ports)
    if outputs.kind == "single":
        return {"result": value}
    if outputs.kind == "typeddict":
        fits = isinstance(value, Mapping) and set(value) == set(names)
    elif outputs.kind == "tuple":
        fits = isinstance(value, tuple) and len(value) == len(names)
    else:
        assert outputs.type is not None
        fits = isinstance(value, outputs.type)
    if not fits:
        declared = outputs.type.__name__ if outputs.type is not None else "tuple"
        raise WrongValue(
            f"{stage.name} returned {type(value).__name__} where {declared} of {', '.join(names)} is declared",
            "Return exactly what the annotation says.",
        )
    if outputs.kind == "typeddict":
        return {name: value[name] for name in names}
    if outputs.kind == "tuple":
        return dict(zip(names, value, strict=True))
    return {name: getattr(value, name) for name in names}


def _tree_of(folder: Path, sources: dict[Digest, bytes | Path]) -> Tree:
    entries: list[TreeEntry] = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest, size = Digest.of_file(path)
        mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
        entries.append(TreeEntry(path.relative_to(folder).as_posix(), mode, digest, size))
        sources[digest] = path
    return Tree(tuple(sorted(entries, key=lambda entry: entry.path)))
