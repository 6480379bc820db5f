"""Event change | command | tick -> escalations, with reasons. State of one partition is one `Escalator`."""
