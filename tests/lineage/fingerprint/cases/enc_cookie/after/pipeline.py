# coding: cp1252
def stage():
    return '€'
