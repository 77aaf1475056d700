# coding: latin-1
def stage():
    return 'é', [K, 2]
K = 1
