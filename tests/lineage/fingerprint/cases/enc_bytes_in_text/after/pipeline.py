# coding: latin-1
def stage():
    return 'è'
