import os
def stage() -> list:
    return sorted(os.listdir('conf'))
