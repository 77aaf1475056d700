def test(): assert 2
