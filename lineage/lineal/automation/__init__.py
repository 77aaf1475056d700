"""When pipelines run by themselves.

A *schedule* says what is run and when: by a *cron* expression, at *intervals*, or on an event. Its *ticks* are the instants at which
it fires, each for one *logical date*; in the hour that a time zone leaves out or has twice its policies decide. *Catching up* is
what becomes of ticks that nobody was there for, *running* what becomes of one whose predecessor still runs; a *simulation* tells all that beforehand.

Everything here is arithmetic: no input or output, no clock of its own, no state.
"""
