import functools
from m import C, f
stage = functools.partial(functools.partial(f, C(1)), k=3)
