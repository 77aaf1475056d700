"""What every table must look like, checked whenever a stage takes it in or hands it on."""

from typing import Annotated

import pandas as pd
from lineal import Schema, field

CARRIERS = ("9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV")
AIRPORTS = ("EWR", "JFK", "LGA")


class RawFlights(Schema, min_rows=40_000):
    """Nine weeks of departures from New York as the source delivers them.

    Times of day are local, as hhmm numbers. Fewer rows than in any nine weeks of the year mean that some
    are missing.
    """

    year: int
    month: Annotated[int, field(ge=1, le=12)]
    day: Annotated[int, field(ge=1, le=31)]
    sched_dep_time: Annotated[int, field(ge=0, le=2359)]
    sched_arr_time: Annotated[int, field(ge=0, le=2359)]
    dep_time: Annotated[float | None, field(ge=0, le=2400)]  # null: cancelled
    arr_delay: Annotated[float | None, field(ge=-240, le=2880)]  # minutes; null: cancelled or diverted
    air_time: Annotated[float | None, field(ge=0, le=1440)]  # minutes; null as arr_delay
    carrier: Annotated[str, field(isin=CARRIERS)]
    tailnum: str | None
    origin: Annotated[str, field(isin=AIRPORTS)]
    dest: str
    distance: Annotated[int, field(ge=1, le=6000)]  # miles
    time_hour: str  # the hour of scheduled departure, 2013-01-01T10:00:00Z


class RawWeather(Schema):
    """Hourly observations at the three airports. Sensors fail, so most readings may be null."""

    origin: Annotated[str, field(isin=AIRPORTS)]
    time_hour: str
    temp: float | None  # °F
    dewp: float | None  # °F
    humid: Annotated[float | None, field(ge=0, le=100)]  # %
    wind_dir: Annotated[float | None, field(ge=0, le=360)]  # °
    wind_speed: Annotated[float | None, field(ge=0)]  # mph
    wind_gust: Annotated[float | None, field(ge=0)]  # mph
    precip: Annotated[float, field(ge=0)]  # inches
    pressure: float | None  # mbar
    visib: Annotated[float, field(ge=0)]  # miles


class Planes(Schema):
    """One row a plane."""

    tailnum: Annotated[str, field(unique=True)]
    year: Annotated[float | None, field(ge=1900)]  # built
    engines: Annotated[int, field(ge=1, le=8)]
    seats: Annotated[int, field(ge=1, le=900)]


class Arrivals(Schema, extra="forbid"):
    """Flights that arrived: the raw columns that anything later may use, and no other, with an hour to join on."""

    year: int
    month: int
    day: int
    sched_dep_time: Annotated[int, field(ge=0, le=2359)]
    sched_arr_time: Annotated[int, field(ge=0, le=2359)]
    arr_delay: float
    air_time: float
    carrier: str
    tailnum: str | None
    origin: str
    dest: str
    distance: int
    hour_utc: Annotated[pd.Timestamp, field(timezone="UTC")]


class Weather(Schema):
    """Hourly observations, with an hour to join on."""

    origin: str
    hour_utc: Annotated[pd.Timestamp, field(timezone="UTC")]
    temp: float | None
    dewp: float | None
    humid: float | None
    wind_dir: float | None
    wind_speed: float | None
    wind_gust: float | None
    precip: float
    pressure: float | None
    visib: float


class Features(Schema, extra="forbid"):
    """What is known of a flight before it departs, and whether it was late: nothing else reaches a model."""

    carrier: str
    origin: Annotated[str, field(isin=AIRPORTS)]
    dest: str
    minute_of_day: Annotated[int, field(ge=0, le=1439)]
    weekday: Annotated[int, field(ge=0, le=6)]
    scheduled_minutes: Annotated[int, field(ge=0, le=1439)]
    departures_this_hour: Annotated[int, field(ge=1)]
    distance_miles: Annotated[int, field(ge=1)]
    route_air_minutes: float | None
    temperature_f: float | None
    dew_point_f: float | None
    humidity_percent: float | None
    wind_mph: Annotated[float | None, field(ge=0, le=150)]
    wind_north_mph: float | None
    wind_east_mph: float | None
    gust_mph: float | None
    rain_inches: float | None
    rain_3_hours_inches: float | None
    pressure_mbar: float | None
    visibility_miles: float | None
    plane_age_years: Annotated[float | None, field(ge=0)]
    plane_engines: float | None
    plane_seats: float | None
    late: bool
