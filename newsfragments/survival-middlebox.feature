A middlebox survives a lost connection: it connects again within 2 seconds, resumes both streams of every operation where they broke, and repeats every answer that
may have been lost. Without a controller both ends of an operation decide alike when their leases end, by whether a drain marker has come.
