"""Where the program starts: a run that is known to find everything done is answered before anything else is imported.

That is most of what such a run costs; what it means is said in docs/plan-memo.md. All else is `lineal_cli.app`'s.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lineal.engine.memo import Unchanged


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code; every error has been reported by then."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["run"]:
        started = time.monotonic()
        try:
            from lineal.engine.memo import answer_again

            found = answer_again(arguments)
            if found is not None:
                _tell(found, time.monotonic() - started, as_json="--json" in arguments)
                return 0
        except (Exception, KeyboardInterrupt) as problem:  # noqa: BLE001 — told as any other command tells it
            from lineal_cli.app import report_end

            return report_end(problem, arguments)
    from lineal_cli.app import main as decide

    return decide(arguments)


def _tell(found: Unchanged, seconds: float, *, as_json: bool) -> None:
    from lineal_cli.render.run import render_run, render_unchanged
    from lineal_cli.render.text import plain

    if found.document is None:
        text = render_unchanged(found.pipeline, found.stages, found.run_id, seconds)
    elif as_json:
        from lineal_cli.session import print_json

        print_json(found.document)
        return
    else:
        text = render_run(found.document, elapsed_seconds=seconds)
    if sys.stdout.isatty():
        from lineal_cli.session import print_text

        print_text(text)
        return
    try:
        print(plain(text), flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        from lineal_cli.session import NotPrinted, close_output

        close_output(1)
        raise NotPrinted(error.strerror or str(error)) from error
