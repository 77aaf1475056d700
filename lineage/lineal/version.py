"""The version of this Lineal, here so that asking for it costs nothing."""

VERSION = "0.1.0"
