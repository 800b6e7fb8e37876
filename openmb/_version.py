"""The version of OpenMB, stated once."""

__version__ = "0.1.0"
