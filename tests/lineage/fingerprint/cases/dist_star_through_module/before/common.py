from fakelib import *
K = 1
