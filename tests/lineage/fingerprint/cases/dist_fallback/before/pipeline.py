try:
    from fastlib import f
except ImportError:
    from fakelib import f
def stage(x=3):
    return f(x)
