"""Scored items + open events -> event changes, with reasons. State of one partition is one `Tracker`."""
