def make(n):
    def f(x: int = 3) -> int:
        return x + n
    return f
