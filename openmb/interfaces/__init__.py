"""
The contracts of OpenMB: what a plugin provides to the host, and a network to the controller.

By who implements what: C{engine} and C{state} (and C{introspection}, where there is something to set or to tell) are
implemented by a kind of middlebox, C{plugin} by whoever makes middleboxes of a kind, C{network} by a network.
"""

from openmb.interfaces.engine import CellUsage, Failed, IEngine, IMiddlebox, Processed
from openmb.interfaces.introspection import Announce, IAnnouncer, IConfigurable, ILearner
from openmb.interfaces.network import INetwork, INetworkKind, NetworkState, PortState, Route
from openmb.interfaces.plugin import INTERFACE_VERSION, IMiddleboxKind, IMiddleboxPlugin, RunTerms
from openmb.interfaces.state import IPerflowState, ISelector, ISharedState, IStateAdapter

__all__ = [
    "INTERFACE_VERSION",
    "Announce",
    "CellUsage",
    "Failed",
    "IAnnouncer",
    "IConfigurable",
    "IEngine",
    "ILearner",
    "IMiddlebox",
    "IMiddleboxKind",
    "IMiddleboxPlugin",
    "INetwork",
    "INetworkKind",
    "IPerflowState",
    "ISelector",
    "ISharedState",
    "IStateAdapter",
    "NetworkState",
    "PortState",
    "Processed",
    "Route",
    "RunTerms",
]
