class A:
    def __init__(self, n): self.n = n
    def __call__(self): return self.n
