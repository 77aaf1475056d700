"""Codes as people type them."""


def clean_code(code: str) -> str:
    """A carrier's or airport's code without stray blanks, in capitals.

    >>> clean_code(" ua ")
    'UA'
    """
    return code.strip().upper()
