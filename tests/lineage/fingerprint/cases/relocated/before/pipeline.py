from pathlib import Path
from pkg.m import f
HERE = Path(__file__).parent
def stage() -> int:
    return f()
