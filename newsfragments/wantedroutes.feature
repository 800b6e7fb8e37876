The controller keeps the routes that are wanted in its journal and sets them again when the switch or a port comes back; `openmb routes` says which are in effect.
