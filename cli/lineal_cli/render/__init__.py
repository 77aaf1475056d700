"""Documents of the facade as text for people: pure functions from a document to a string.

Text may hold ANSI colours; who prints it takes them out where nobody sees them. Whatever comes out of
a document passes through `text.clean`, for a file name or a message may hold control characters.
"""
