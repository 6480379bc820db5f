"""Event change | command | tick -> escalations, with reasons. State of one partition is one `Escalator`.

escalator.py takes the records; cases.py is what it holds of an event, due.py what is due of it, policy.py whom it tells
next, digests.py what is collected, clocks.py the response clocks, silences.py what holds it back, people.py what people
do about it.
"""
