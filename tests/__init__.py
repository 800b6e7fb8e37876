"""The test suite; C{python -m tests.run} runs all of it."""

from hypothesis import settings

# how long an example takes depends on what else the machine does
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
