"""Somebody is told of runs: how they ended, and what is the matter with them.

*Rules* decide what is an occasion for whom. A *watch* listens to a run; what it and others find is a *happening*. The *teller* writes
what is news, and no more than somebody can read, as *messages* into the *outbox*, a folder; the *deliverer*, a process of its own,
takes them from there to their *channel*: a webhook, a mailbox, a command, or a service that apprise knows. A run waits for none of
them. Nothing here knows the engine, and only `send` and `apprise` know the network.
"""
