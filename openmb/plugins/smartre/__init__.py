"""
Redundancy elimination after SmartRE: an encoder and a decoder with one packet store each (docs/smartre.md).
"""
