from edlib import *
def stage(x=3):
    return f(x)
