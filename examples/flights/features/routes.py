"""Where a flight goes, and what was learnt about the way there."""

import pandas as pd

ROUTE = ["origin", "dest"]


def route_air_minutes(flights: pd.DataFrame, *, learn_from: pd.Series) -> pd.Series:
    """The average time in the air on each flight's route, null for a route not seen before.

    Time in the air is known only after landing, so the average is taken over the rows that
    ``learn_from`` marks, the days of training, and merely looked up for the others.
    """
    average = flights[learn_from].groupby(ROUTE)["air_time"].mean().rename("route_air_minutes")
    return flights[ROUTE].join(average, on=ROUTE)["route_air_minutes"]
