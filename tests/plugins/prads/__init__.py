"""Tests of the PRADS middlebox."""
