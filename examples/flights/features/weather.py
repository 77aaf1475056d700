"""The weather at the airport of departure, as observed in the hour of departure and just before."""

import numpy as np
import pandas as pd

STRONGEST_WIND_MPH = 150


def weather_at_departure(flights: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """The weather of each flight's hour, null where it was not observed; rows as in ``flights``.

    Both tables name hours in UTC, so the changes to and from summer time need no care. ValueError where an
    hour was observed twice at one airport.
    """
    hour = ["origin", "hour_utc"]
    observed = conditions(weather).set_index(hour)
    return flights[hour].join(observed, on=hour, validate="many_to_one").drop(columns=hour)


def conditions(weather: pd.DataFrame) -> pd.DataFrame:
    """What the observations say to a model, one row for each hour at each airport, in time's order."""
    weather = plausible(weather).sort_values(["origin", "hour_utc"], ignore_index=True)
    blows_from = np.deg2rad(weather["wind_dir"])
    return pd.DataFrame(
        {
            "origin": weather["origin"],
            "hour_utc": weather["hour_utc"],
            "temperature_f": weather["temp"],
            "dew_point_f": weather["dewp"],
            "humidity_percent": weather["humid"],
            "wind_mph": weather["wind_speed"],
            "wind_north_mph": weather["wind_speed"] * np.cos(blows_from),
            "wind_east_mph": weather["wind_speed"] * np.sin(blows_from),
            "gust_mph": weather["wind_gust"],
            "rain_inches": weather["precip"],
            "rain_3_hours_inches": rain_lately(weather, "3h"),
            "pressure_mbar": weather["pressure"],
            "visibility_miles": weather["visib"],
        }
    )


def plausible(weather: pd.DataFrame) -> pd.DataFrame:
    """The observations, with impossible winds made null: one hour in Newark reports 1048 mph."""
    speed = weather["wind_speed"]
    return weather.assign(wind_speed=speed.where(speed <= STRONGEST_WIND_MPH))


def rain_lately(weather: pd.DataFrame, span: str) -> pd.Series:
    """The rain that fell at the same airport within ``span``, the hour itself included.

    The rows are in the order of airports and hours, which is the order of the answer too.
    """
    fallen = weather.set_index("hour_utc").groupby("origin")["precip"].rolling(span).sum()
    return fallen.reset_index(drop=True)
