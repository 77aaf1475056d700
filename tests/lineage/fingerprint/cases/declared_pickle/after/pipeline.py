import pickle
def stage():
    with open("data.pkl", "rb") as f: return pickle.load(f).go()
