"""Inputs that nobody means well with, in a repeatable way: C{openmb fuzz}."""
