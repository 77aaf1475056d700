from m import A
stage = A(2)
