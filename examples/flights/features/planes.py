"""The plane that flies."""

import pandas as pd

from .calendar import local_day


def plane_of(flights: pd.DataFrame, planes: pd.DataFrame) -> pd.DataFrame:
    """Age, engines and seats of each flight's plane, null where unknown; rows as in ``flights``."""
    known = planes.set_index("tailnum")
    plane = flights[["tailnum"]].join(known[["year", "engines", "seats"]], on="tailnum")
    return pd.DataFrame(
        {
            "plane_age_years": (local_day(flights).dt.year - plane["year"]).clip(lower=0),
            "plane_engines": plane["engines"],
            "plane_seats": plane["seats"],
        }
    )
