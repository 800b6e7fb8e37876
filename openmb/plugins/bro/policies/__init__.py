"""What many connections show together: scans, guessed passwords, the hosts and services there are; and counters."""
