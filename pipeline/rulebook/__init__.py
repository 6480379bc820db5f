"""Rule files <-> a frozen RuleBook: schema, parsing with places, test cases."""
