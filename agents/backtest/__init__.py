"""Running a backtest: history from the archive or a file, read and played by several processes."""
