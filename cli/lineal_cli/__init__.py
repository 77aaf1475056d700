"""The command line: a thin face over `lineal.api`.

Every command asks the facade for one document. With ``--json`` the document is printed as it is;
otherwise a renderer turns the same document into text for people. What a command decides is its exit
code; everything else is decided below this room.

app        the ``lineal`` group: finds a command without importing the others, reports every error
session    the options that all commands share, and how a command answers
progress   what is shown while a run goes on
commands   one module for each family of commands
render     document to text; pure functions
"""
