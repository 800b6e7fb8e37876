Controller and middleboxes talk over TLS 1.3 with certificates on both sides, in a protocol whose byte tables are in ``docs/protocol.md``; ``openmb.southbound`` has both ends.
