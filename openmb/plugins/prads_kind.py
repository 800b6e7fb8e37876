"""The drop-in through which C{twisted.plugin} finds the kind C{prads}."""

from openmb.plugins.prads.plugin import PradsPlugin

prads = PradsPlugin()
