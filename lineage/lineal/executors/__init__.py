"""Where stages run: an executor takes an envelope and answers with an outcome.

An *envelope* holds everything that one attempt needs, an *outcome* what came of it. Executors know
no engine: they neither retry nor decide. Workers read and write the store themselves, so that only digests
and small records cross the line.
"""
