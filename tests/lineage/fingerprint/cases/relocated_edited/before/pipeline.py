from pkg.m import f
def stage() -> int:
    return f()
