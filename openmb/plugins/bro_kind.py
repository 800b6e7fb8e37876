"""The drop-in through which C{twisted.plugin} finds the kind C{bro}."""

from openmb.plugins.registry import Kind

bro = Kind(
    "bro",
    "connections and HTTP requests, logged as Zeek logs them",
    "openmb.plugins.bro.plugin.BroPlugin",
)
