import fakelib
@fakelib.deco
def h(x):
    return x
def stage(x=3):
    return h(x)
def other(x=3):
    return x
