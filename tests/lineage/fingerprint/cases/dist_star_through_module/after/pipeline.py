from common import *
def stage(x=3):
    return f(x)
def other(x=3):
    return x + K
