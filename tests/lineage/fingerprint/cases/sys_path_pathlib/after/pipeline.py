import sys, pathlib
sys.path.append(str(pathlib.Path(__file__).resolve().parent / "libs" / "py"))
def stage():
    import helper
    return helper.f()
