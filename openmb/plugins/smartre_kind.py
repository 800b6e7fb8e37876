"""The drop-in through which C{twisted.plugin} finds the kind C{smartre}."""

from openmb.plugins.smartre.plugin import SmartrePlugin

smartre = SmartrePlugin()
