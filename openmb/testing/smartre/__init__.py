"""
Redundancy elimination held against other things: its codec in plain Python, its ends over networks that lose packets.
"""
