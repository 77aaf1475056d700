import fakelib
class A(fakelib.Base):
    pass
