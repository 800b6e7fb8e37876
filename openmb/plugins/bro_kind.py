"""The drop-in through which C{twisted.plugin} finds the kind C{bro}."""

from openmb.plugins.bro.plugin import BroPlugin

bro = BroPlugin()
