import fakelib
def stage(x=3):
    return fakelib.f(x)
