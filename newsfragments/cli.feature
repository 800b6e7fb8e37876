The command ``openmb`` gathers everything one does by hand; ``openmb run KIND --pcap FILE --logs DIR`` runs a kind of middlebox over a capture without controller or network.
