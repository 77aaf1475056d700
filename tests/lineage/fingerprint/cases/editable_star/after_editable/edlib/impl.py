def f(x): return x + 2
def unused(x): return x * 1
