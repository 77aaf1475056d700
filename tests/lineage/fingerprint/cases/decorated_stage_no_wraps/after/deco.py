def twice(f):
    def w(*a):
        return f(*a) * 3
    return w
