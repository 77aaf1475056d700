class M:
    def __init__(self): self.k = 1
    def go(self): return self.k + 1
