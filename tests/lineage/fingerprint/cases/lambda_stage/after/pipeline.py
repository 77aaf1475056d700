FS = [lambda x=3: x + 1, lambda x=3: x + 5]
stage, other = FS
