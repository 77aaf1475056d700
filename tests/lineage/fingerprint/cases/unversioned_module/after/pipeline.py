import lone
def stage() -> int:
    return lone.f()
