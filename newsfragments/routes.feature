`openmb routes` lists the routes; `openmb route --drop` drops packets on purpose. Every packet that the switch gets is in exactly one of its counters.
