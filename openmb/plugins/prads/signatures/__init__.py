"""The signature files of PRADS, and matching against them."""
