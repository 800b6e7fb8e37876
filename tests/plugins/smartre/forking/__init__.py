"""Forks of caches, and half of the traffic that moves to another decoder."""
