The Bro kind follows policies (`--policies scan,known,ssh-guessing,weird,stats`): notices of address and port scans and of guessed SSH passwords, known hosts and services, oddities of TCP (`weird.log`), counters of the whole run. What they know is cloned and
merged: a scan that two instances saw in parts is noticed once, with the whole count. Who listens for `notice` hears of it.
