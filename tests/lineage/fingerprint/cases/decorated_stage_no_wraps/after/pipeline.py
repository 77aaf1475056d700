from deco import twice
@twice
def stage(x=3):
    return x
