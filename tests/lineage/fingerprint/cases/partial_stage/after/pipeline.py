import functools
def f(a, b=1):
    return a + b
stage = functools.partial(f, 2)
