class A:
    def __init__(self, n): self.n = n
    def run(self): return self.n
