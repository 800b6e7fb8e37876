"""Tests of what many connections show together."""
