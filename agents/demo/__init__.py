"""`wenxun demo`: a fictional county's day through the real chain, on one fast clock.

scenario.py reads the day, sites.py serves it as feeds, phone.py receives what is delivered, observer.py reads the
topics, story.py says what is expected of the day, screen.py shows it, stage.py runs it all.
"""
