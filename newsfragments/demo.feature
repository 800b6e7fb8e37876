The demonstration: `openmb demo` moves live flows between running Bros over TLS and holds their logs against a reference; `openmb replay` feeds a capture into the switch.
