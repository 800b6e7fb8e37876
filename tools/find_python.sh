#!/bin/sh
# Prints the newest Python from 3.11 to 3.14 (what numba supports) that can make a virtual environment.
for name in python3.14 python3.13 python3.12 python3.11 python3 python; do
    path=$(command -v "$name") || continue
    if "$path" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
        echo "$path"
        exit 0
    fi
done
echo "OpenMB needs Python 3.11 or newer with its venv module (Debian: apt-get install python3 python3-venv)" >&2
exit 1
