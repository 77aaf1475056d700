"""Decides what has to run, and has it run.

The *machine* takes events and answers instructions, without input or output; the *runner* performs them;
a *plan* gives every stage its identity; a *session* is one run from its graph to its record.
"""
