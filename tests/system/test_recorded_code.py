"""A run executes the code that it recorded, whatever is saved meanwhile."""

from __future__ import annotations

from support import Project


def test_a_save_in_mid_run_changes_neither_what_runs_nor_what_a_traceback_shows(project: Project) -> None:
    project.write("late.py", "VALUE = 'recorded'\n")
    project.write("pkg/__init__.py", "")
    project.write("pkg/words.txt", "data")
    project.write(
        "flow.py",
        """
        import inspect
        import multiprocessing
        import pkgutil

        from lineal import pipeline, stage


        @stage
        def save() -> int:
            for name in ("flow.py", "late.py"):
                with open(name, "w") as stream:
                    stream.write("VALUE = 'saved later'\\n" * 50)
            return 1


        def look(queue):
            import late

            queue.put(late.VALUE)


        @stage
        def after(saved: int) -> list[str]:
            import late

            context = multiprocessing.get_context("fork")
            queue = context.Queue()
            child = context.Process(target=look, args=(queue,))
            child.start()
            told = queue.get()
            child.join()
            source = inspect.getsource(look).splitlines()[0]
            return [late.VALUE, told, source, pkgutil.get_data("pkg", "words.txt").decode(), __file__]


        @stage
        def fail(saved: int) -> int:
            raise ValueError("this very line")


        @pipeline
        def flow() -> tuple[list, int]:
            saved = save()
            return after(saved), fail(saved)
        """,
    )

    run = project.json("run")

    traceback = run.stages["fail"]["traceback"]
    assert f'File "{project.root}/flow.py", line ' in traceback
    assert 'raise ValueError("this very line")' in traceback
    recorded = run.stages["after"]["outputs"]["result"]["digest"]
    assert project.value(recorded).decode() == (
        f'["recorded","recorded","def look(queue):","data","{project.root}/flow.py"]'
    )
    assert list(project.root.rglob("*.pyc")) == []
