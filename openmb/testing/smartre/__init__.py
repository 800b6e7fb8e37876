"""
The codec of redundancy elimination in plain Python, to hold the kernels against.
"""
