FS = [lambda x=3: x + 1, lambda x=3: x + 2]
stage, other = FS
