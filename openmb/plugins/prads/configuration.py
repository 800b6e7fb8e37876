"""
What can be configured of a PRADS middlebox.
"""

from __future__ import annotations

from openmb.plugins.prads.homenets import DEFAULT as EVERYWHERE
from openmb.plugins.prads.settings import PradsSettings
from openmb.plugins.prads.tasks import DEFAULT, Does
from openmb.state.configuration import Schema, Tree
from openmb.state.settings import Choice, Plain, Setting, Whole

_GOVERNS = "what is known of hosts was found with it"
_CHECKS = tuple(str(each.name).lower() for each in Does)

SETTINGS = Schema(
    Setting(
        *("connections/maximum", Whole(1, 1 << 31), (str(1 << 20),)),
        "connections held at most (`--max-flows`); with more the longest idle end",
    ),
    Setting(
        *("hosts/maximum", Whole(1, 1 << 31), (str(1 << 18),)),
        "hosts known at most (`--max-hosts`); with more those not seen for the longest time are forgotten",
    ),
    Setting(
        *("checks", Choice(_CHECKS), tuple(str(each.name).lower() for each in Does if each in DEFAULT)),
        "what is looked at (`--mac`, `--stray-ack`, `--no-checks` and its like)",
        *(0, len(_CHECKS)),
        fixed=_GOVERNS,
        governs=True,
    ),
    Setting("networks/home", Plain(), (EVERYWHERE,), "home networks (`--home-nets`)", fixed=_GOVERNS, governs=True),
    Setting("signatures", Plain(), ("",), "fingerprint of the signature files", fixed=_GOVERNS, governs=True),
)


def treeOf(settings: PradsSettings, digest: bytes) -> Tree:
    """The whole tree that stands for C{settings}."""
    return {
        "connections/maximum": (str(settings.maximumFlows),),
        "hosts/maximum": (str(settings.maximumHosts),),
        "checks": tuple(str(each.name).lower() for each in Does if each in settings.does),
        "networks/home": (settings.homes,),
        "signatures": (digest.hex()[:16],),
    }
