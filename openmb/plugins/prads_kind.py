"""The drop-in through which C{twisted.plugin} finds the kind C{prads}."""

from openmb.plugins.registry import Kind

prads = Kind(
    "prads",
    "hosts, their systems and services, logged as PRADS logs them",
    "openmb.plugins.prads.plugin.PradsPlugin",
)
