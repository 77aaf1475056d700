def wrap(g):
    def run(x: int = 3) -> int:
        return g(x)
    return run
