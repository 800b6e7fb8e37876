"""Records the capture of the demonstration; see README.md beside this file."""
