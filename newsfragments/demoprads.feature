`openmb demo prads`: flows of one server move to a second PRADS and back, what flows share is merged, and both together find what one instance, and the real program, finds; without and with a relay.
