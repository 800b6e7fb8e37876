"""Tests of redundancy elimination."""
