from deep import x
