from importlib.metadata import version
def stage(): return version("fancy-lib")
