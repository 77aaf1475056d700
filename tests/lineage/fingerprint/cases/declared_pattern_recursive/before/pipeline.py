def stage(): return open("data/x/y/a.csv").read()
