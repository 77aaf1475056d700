def go(): return 2
