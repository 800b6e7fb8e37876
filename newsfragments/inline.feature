Middleboxes in line wait while the network takes nothing, in place of sending on regardless, and keep what moves give them to send while there is no port. `openmb simulate --kind inline` holds every forwarded packet against what one
instance sends on.
