import fancy
def stage(): return fancy.x
