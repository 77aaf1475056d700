import importlib, json
def stage():
    m, f = json.load(open("conf/a.json"))["f"].split(":")
    return getattr(importlib.import_module(m), f)()
