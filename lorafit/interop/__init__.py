"""Adapters and models of other programs.

Three registries, each with one file a format: `readers` and `writers` of adapters, `models` for merged models. Looking
into them imports no torch; what reads and writes imports what it needs when it is called.
"""
