from importlib.metadata import entry_points
def stage(): return [e.load()() for e in entry_points(group="my.plugins")]
