"""Logs as Zeek writes them."""
