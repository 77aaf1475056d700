def make(n):
    def run(): return n
    return run
stage = make(1)
other = make(2)
