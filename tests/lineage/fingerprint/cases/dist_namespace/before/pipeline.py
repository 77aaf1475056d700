import nsx.a, nsx.b
def stage() -> int:
    return nsx.b.f()
def other() -> int:
    return nsx.a.f()
