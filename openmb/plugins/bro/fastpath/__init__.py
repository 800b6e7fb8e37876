"""
Ordinary HTTP without Python: kernels that read requests and replies as they come, and leave everything else to the
analysers.
"""
