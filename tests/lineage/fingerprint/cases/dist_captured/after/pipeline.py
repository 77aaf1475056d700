import fakelib
def make(g):
    def inner(x=3):
        return g(x)
    return inner
stage, other = [make(g) for g in (fakelib.f, abs)]
