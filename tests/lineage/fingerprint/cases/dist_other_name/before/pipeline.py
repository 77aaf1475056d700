from fm import f
def stage() -> int:
    return f()
