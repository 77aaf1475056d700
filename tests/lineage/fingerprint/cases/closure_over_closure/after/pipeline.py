def add(n):
    def inner(x): return x + n
    return inner
def make(f):
    def run(): return f(1)
    return run
stage = make(add(2))
