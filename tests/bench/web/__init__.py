"""Tests of the bench's mostly-HTTP capture."""
