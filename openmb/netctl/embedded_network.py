"""The drop-in through which C{twisted.plugin} finds the embedded software switch."""

from openmb.netctl.registry import NetworkKind

embedded = NetworkKind(
    "embedded",
    "DIR",
    "the software switch whose sockets are in the directory DIR ('twistd openmb-switch')",
    "openmb.netctl.embedded.client.connectNetwork",
)
