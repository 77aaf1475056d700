class C:
    def __init__(self, n): self.n = n
def f(c, k): return c.n * k
