"""Real processes that are killed, stalled and cut off at exact steps of a move, and what the logs say afterwards."""
