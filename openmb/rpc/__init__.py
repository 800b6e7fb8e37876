"""Requests and replies as lines of JSON over a local UNIX socket: how the switch and the controller are controlled."""
