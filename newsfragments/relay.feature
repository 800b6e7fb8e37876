`tell` (northbound) hands a middlebox what others of its kind have announced: it takes that as known and does not put it out again; `openmb relay` does so for two or more middleboxes. PRADS learns hosts' systems, services
and network cards. Its events name the host.
