"""When a flight is due: days, times of day, and how busy the hour is."""

from datetime import date, timedelta

import pandas as pd


def days_before(end: date, days: int, table: pd.DataFrame) -> pd.Series:
    """Which rows lie in the ``days`` days before ``end``, the day ``end`` itself left out."""
    day = local_day(table)
    return (day >= pd.Timestamp(end - timedelta(days=days))) & (day < pd.Timestamp(end))


def local_day(table: pd.DataFrame) -> pd.Series:
    """The day in New York, from the columns year, month and day."""
    return pd.to_datetime(table[["year", "month", "day"]])


def minute_of_day(hhmm: pd.Series) -> pd.Series:
    """Minutes since midnight of times such as 1745, which is a quarter to six in the evening.

    >>> minute_of_day(pd.Series([0, 59, 1745])).tolist()
    [0, 59, 1065]
    """
    return hhmm // 100 * 60 + hhmm % 100


def scheduled_minutes(departure: pd.Series, arrival: pd.Series) -> pd.Series:
    """From the departure to the arrival that the schedule promises, by the clocks at both ends.

    The two clocks may differ by a few hours, always the same ones on a route.
    """
    return (minute_of_day(arrival) - minute_of_day(departure)) % (24 * 60)


def departures_this_hour(flights: pd.DataFrame) -> pd.Series:
    """How many flights are due to leave the same airport within the same hour."""
    return flights.groupby(["origin", "hour_utc"])["dest"].transform("size")
