"""What is wrong with a deployment's files, rights, keys, certificates and ports, and what to do about it."""
