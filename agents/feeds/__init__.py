"""What it takes to read one feed: request, robots.txt, parse processes, a check-up. Shared by collect, desk and CLI."""
