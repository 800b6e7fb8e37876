Networks are found by name, as kinds of middlebox are: `twistd openmb --network embedded:DIR` (`--switch DIR` is short for it).
