import glob
def stage(): return sorted(open(f).read() for f in glob.glob("data/*.csv"))
