"""Where the program starts: what is known to find everything done is answered before anything else is imported.

That is most of what such an answer costs; what it means is said in docs/plan-memo.md. All else is `lineal_cli.app`'s.
"""

from __future__ import annotations

import atexit
import gc
import sys
import time
from collections.abc import Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lineal.engine.memo import Unchanged

_OBJECTS_BEFORE_COLLECTION = 50_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code; every error has been reported by then."""
    if arguments is None:
        # Next to nothing here is ever part of a cycle. Python would go through all of it again and again, at a tenth of the time
        # of a run of many small stages; what stages run in processes of their own finds Python as it is.
        gc.set_threshold(_OBJECTS_BEFORE_COLLECTION, 10, 10)
        atexit.register(gc.freeze)  # nor in what is left at the end, which goes with the process
        arguments = sys.argv[1:]
    arguments = list(arguments)
    if arguments[:1] in (["run"], ["status"]):
        try:
            if _answer(arguments):
                return 0
        except (Exception, KeyboardInterrupt) as problem:  # noqa: BLE001 — told as any other command tells it
            from lineal_cli.app import report_end

            return report_end(problem, arguments)
    from lineal_cli.app import main as decide

    return decide(arguments)


def _answer(arguments: list[str]) -> bool:
    """Answer a question whose answer has not changed; False where it has to be thought through."""
    from lineal.engine.memo import answer_again, foresee_again

    started = time.monotonic()
    found = answer_again(arguments) if arguments[0] == "run" else foresee_again(arguments)
    if found is None:
        return False
    if found.document is not None and "--json" in arguments:
        from lineal_cli.session import print_json

        print_json(found.document)
    else:
        _print(_text(found, time.monotonic() - started))
    return True


def _text(found: Unchanged, seconds: float) -> str:
    if found.run_id is None:
        from lineal_cli.render.status import render_unchanged_status

        return render_unchanged_status(found.pipeline, found.parameters, found.stages)
    from lineal_cli.render.run import render_run, render_unchanged

    if found.document is not None:
        return render_run(found.document, elapsed_seconds=seconds)
    return render_unchanged(found.pipeline, found.stages, found.run_id, seconds)


def _print(text: str) -> None:
    if sys.stdout is None or sys.stdout.isatty():
        from lineal_cli.session import print_text

        print_text(text)
        return
    from lineal_cli.render.text import plain

    try:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")  # where it cannot say everything
        print(plain(text), flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        from lineal_cli.session import NotPrinted, close_output

        close_output(1)
        raise NotPrinted(error.strerror or str(error)) from error
