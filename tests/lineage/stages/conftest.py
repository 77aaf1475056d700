"""The typing examples are read by type checkers; some of them are wrong on purpose."""

collect_ignore_glob = ["typing_examples/*"]
