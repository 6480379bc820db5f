"""Who is told, and in which words: escalation + rule book -> receivers and messages."""
