def f(x): return x
class Base:
    k = 1
def deco(f): return f
class T: pass
