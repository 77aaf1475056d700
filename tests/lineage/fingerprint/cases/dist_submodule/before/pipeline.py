import fakelib.deep.part as p
def stage(x=3):
    return p.g(x)
