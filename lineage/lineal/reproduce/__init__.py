"""Rebuilds what a past run made, from the store alone, and compares it with what was made then."""
