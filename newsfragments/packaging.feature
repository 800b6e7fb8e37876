``make demo`` and ``make test`` need nothing but Python 3.11 or newer and make: they build their own environment and compile all kernels once, showing progress.
