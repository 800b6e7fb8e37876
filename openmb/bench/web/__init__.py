"""A capture of many small connections, mostly HTTP, of which its maker knows every row that the logs must have."""
