"""Feedback between decoder and encoder."""
