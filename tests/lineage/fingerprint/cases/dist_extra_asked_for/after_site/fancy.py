from mid import x
