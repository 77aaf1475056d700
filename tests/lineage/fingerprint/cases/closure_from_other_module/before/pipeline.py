from maker import make
stage = make(5)
other = make(9)
