A capture is read block by block, so that the memory of `openmb run` no longer grows with it; rows of the logs cost a fraction of what they did.
