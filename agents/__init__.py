"""What runs: every process, topic, table, timer, clock, environment variable and HTTP call."""
