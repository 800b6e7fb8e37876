"""What decoder and encoder say to each other on the way back, and what comes of it (docs/smartre.md, section 4)."""
