from models import A
def stage():
    return A().k
