"""What reads the data of connections: one module or folder for each application protocol."""
