import functools
from w.inner import run
@functools.wraps(run)
def stage(): return run() + 2
