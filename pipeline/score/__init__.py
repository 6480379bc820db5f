"""Item + rule book -> scored item: which subjects and why, sentiment, question, terms for similarity."""
