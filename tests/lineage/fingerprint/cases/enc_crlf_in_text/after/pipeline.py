def stage():
    return '''a
b'''
