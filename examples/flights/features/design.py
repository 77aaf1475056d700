"""From a table of features to what the model takes."""

import pandas as pd

LABEL = "late"


def design(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The given columns, with text as categories: the form in which the model knows it."""
    chosen = table[columns]
    text = [name for name in columns if pd.api.types.is_string_dtype(chosen[name])]
    return chosen.astype(dict.fromkeys(text, "category"))
