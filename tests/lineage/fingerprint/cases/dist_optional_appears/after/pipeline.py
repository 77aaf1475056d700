try:
    import fakelib
except ImportError:
    fakelib = None
def stage() -> int:
    return fakelib.f(1) if fakelib else 0
