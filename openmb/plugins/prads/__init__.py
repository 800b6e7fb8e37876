"""
Assets after the model of PRADS: parts of a kind that is not complete.
"""
