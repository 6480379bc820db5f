"""The subcommands of `wenxun`, a module per group: `add(subparsers)` declares them, each sets `run=` to a function
(args) -> exit code. Heavy libraries are imported inside run, so that `wenxun rules check` stays quick."""
