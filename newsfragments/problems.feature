`openmb status` and `openmb doctor` say when the switch cannot be reached, a route leads to a dead port, packets find no route, or a middlebox is cut off.
