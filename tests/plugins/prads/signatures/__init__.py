"""Tests of the signatures of PRADS."""
