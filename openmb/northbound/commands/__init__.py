"""
The subcommands of C{openmb}, one module each, found by listing this package.

Each defines C{command}, a click command.  What it returns, if a number, is the exit status.
"""
