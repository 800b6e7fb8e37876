The kind `prads`: a passive asset detector whose asset log, connection lines and statistics equal those of the real PRADS, and whose flows, hosts and counters move.
