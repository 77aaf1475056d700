"""Read models: the documents that the command line prints and the page will show.

Each is a plain dict that JSON can hold, of the shape that docs/reference describes. Nothing here
writes, and nothing here unpickles.
"""
