"""``store push`` and ``store pull``: which stores, what of them, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lineal.api.addresses import Addresses
from lineal.api.config import Configuration
from lineal.errors import UsageError
from lineal.graph.closure import Roots, plan_transfer
from lineal.graph.transfer import NotCopied, Progress, check_writable, ignore, perform
from lineal.views.transfer import transfer_document
from lineal_store import Place, Store


def other_place(configuration: Configuration, url: str | None, option: str) -> Place:
    """The store at ``url``, else the one that the project reads through; ``option`` is what else says which.

    Used as the project's own is, but as it lies there: with nothing upstream of it, and past the cache.
    """
    if url is None:
        if not configuration.upstream:
            raise UsageError(
                "nothing says which other store is meant",
                f'Give {option} URL, or write upstream = ["s3://bucket/prefix"] into the configuration.',
            )
        if len(configuration.upstream) > 1:
            raise UsageError(
                f"the configuration names {len(configuration.upstream)} stores upstream: "
                + ", ".join(configuration.upstream),
                f"Choose one with {option} URL.",
            )
        url = configuration.upstream[0]
    return configuration.place._replace(url=url, upstream=(), cache=None)


def copy_between(
    source: Store,
    open_destination: Callable[[], Store],
    what: Sequence[str],
    namespace: str,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Copy what ``what`` addresses in ``source``, or everything; the document. `NotCopied` where ``source`` is damaged.

    The destination is opened, and made, only when it is known what is to be copied.
    """
    roots = find_roots(Addresses(source, namespace), what) if what else None
    destination = open_destination()
    if destination.url == source.url or destination.place.known_id == source.place.known_id:
        raise UsageError(
            f"both ends are the same store: {source.url}",
            "Name another one. If one is a copy that was made of the other's files, give it an id of its own in "
            "lineal-store.json.",
        )
    check_writable(destination)
    report = perform(plan_transfer(source, roots), source, destination, progress=progress or ignore)
    if report.left:
        raise NotCopied.of(source.url, report.left)
    return transfer_document(source.url, destination.url, report)


def find_roots(addresses: Addresses, what: Sequence[str]) -> Roots:
    """What the addresses mean: of an artifact also the run, and of a tag's address also the tag, that it was found by."""
    runs: list[str] = []
    artifacts: list[str] = []
    tags: list[str] = []
    for text in what:
        run = addresses.find_run(text)
        if run is None:
            found = addresses.resolve(text)
            run = found.run
            artifacts.append(str(found.digest))
        if run is not None:
            runs.append(run.run_id)
            _, at, version = text.rpartition("@")
            version = version.removeprefix("tag:")
            tags += [name for name, _ in addresses.tags() if at and name == version]
    return Roots(tuple(runs), tuple(artifacts), tuple(tags))
