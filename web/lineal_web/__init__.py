"""What `lineal serve` answers by HTTP: whether it is well, its figures, and the webhooks that start runs.

`listening` has a server answer in a thread beside the scheduler, which never waits for it; `app` says which address
leads where, and `guard` what is let through at all: nothing that is not named, no host but this one, no page of another site.
Questions change nothing; what is asked of a project is read from its state and its store as any other process would.

It is Lineal's front to programs. It stands on `lineal`, beside the command line, and needs the extra ``[web]``.
"""
