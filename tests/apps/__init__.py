"""Tests of the control applications."""
