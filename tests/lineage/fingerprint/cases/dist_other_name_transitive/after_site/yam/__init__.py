from deep_lib import x
