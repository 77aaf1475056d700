from fakelib import *
def f(x):
    return -x
def stage(x=3):
    return f(x)
