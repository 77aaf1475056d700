def stage() -> str:
    return open('conf.json').read()
def other() -> int:
    return 1
