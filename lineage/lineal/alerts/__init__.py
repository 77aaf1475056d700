"""Somebody is told how a run ended.

*Rules* decide what a run's end means to whom; a *watch* listens to a run and writes what has to be told as a *message*
into the *outbox*, a folder; the *deliverer*, a process of its own, takes it from there to its *channel*: a webhook, a mailbox
or a command. A run waits for none of them. Nothing here knows the engine, and only `send` knows the network.
"""
