"""The samples that golden vectors exist of."""

from openmb.testing.samples import NONCE, OPERATION, SAMPLES, TOKEN

__all__ = ["NONCE", "OPERATION", "SAMPLES", "TOKEN"]
