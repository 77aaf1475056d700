def f(x):
    return -x
from fakelib import *
def stage(x=3):
    return f(x)
