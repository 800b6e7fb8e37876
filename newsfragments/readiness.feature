Every service says once that it is ready: in the file of `--announce`, and to a service manager that gave it a `NOTIFY_SOCKET`.
