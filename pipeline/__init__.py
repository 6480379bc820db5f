"""What is decided: pure, synchronous, deterministic.

Data flows one way: collect -> score -> track -> escalate -> notify. The stages meet only in `model`.
Nothing here reads a clock, the environment, a socket or a file by itself; time and chance come in as arguments.
"""
