"""The drop-in through which C{twisted.plugin} finds the kind C{smartre}."""

from openmb.plugins.registry import Kind

smartre = Kind(
    "smartre",
    "redundancy elimination: an encoder refers to what it has sent before, a decoder puts it back",
    "openmb.plugins.smartre.plugin.SmartrePlugin",
)
