import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent / 'src'))
from pkg.m import f, g
def stage(x=3):
    return f(x)
def other(x=3):
    return g(x)
