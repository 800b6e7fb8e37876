"""HTTP: bytes of both directions in, rows of http.log out."""
