def twice(f):
    def w(*a):
        return f(*a) * 2
    return w
