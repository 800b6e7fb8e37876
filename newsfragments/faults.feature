A packet on which an engine throws is set aside in a capture and counted with the operation; a full disk stops reading until there is room, and loses nothing.
