"""
The deterministic simulation: shipped machines, codecs and engine on a fake clock, one seed a history.
"""
