"""The SQL store: a projection of the topics, written by `archive`; beside it the desk's accounts, deliver's ledger."""
