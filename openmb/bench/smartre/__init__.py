"""SmartRE measured: its codec and its path beside what else compresses packets, and what a clone of a cache costs."""
