SmartRE's encoder duplicates a cache while it runs (`NumCaches`), and tells whichever decoder gets the packets to do the same: half of the receivers can move to another decoder and back without one undecodable byte.
Encoder and decoder are configured while traffic flows, and announce missing sources, epochs, and what is saved in each interval.
