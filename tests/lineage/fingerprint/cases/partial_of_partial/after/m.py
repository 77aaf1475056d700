class C:
    def __init__(self, n): self.n = n + 1
def f(c, k): return c.n * k
