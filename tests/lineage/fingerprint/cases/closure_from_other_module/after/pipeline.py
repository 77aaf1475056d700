from maker import make
stage = make(6)
other = make(9)
