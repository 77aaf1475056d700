FS = []
for n in (1, 2):
    def make(n=n):
        def f(): return n
        return f
    FS.append(make())
stage = FS[1]
