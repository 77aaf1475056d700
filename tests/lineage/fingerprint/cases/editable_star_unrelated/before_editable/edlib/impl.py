def f(x): return x + 1
def unused(x): return x * 1
