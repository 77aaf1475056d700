"""Who flies."""

import pandas as pd

from .text import clean_code


def normalise_carriers(codes: pd.Series) -> pd.Series:
    """The carriers' codes, each cleaned."""
    return codes.map({code: clean_carrier(code) for code in codes.unique()})


def clean_carrier(code: str) -> str:
    """One carrier's code, as the model shall know it."""
    return clean_code(code)
