"""The embedded switch passes what every network passes."""

from __future__ import annotations

from openmb.interfaces import INetwork
from openmb.packets.batch import PacketBatch
from openmb.testing.network import NetworkTestsMixin
from tests.netctl.embedded.running import RunningSwitchTestCase, Watcher


class EmbeddedNetworkTests(NetworkTestsMixin, RunningSwitchTestCase):
    """Over real sockets."""

    async def makeNetwork(self) -> INetwork:
        """A switch, watchers at both ports."""
        network = self.start()
        self.watchers: dict[str, Watcher] = {port: await self.watch(port) for port in ("a", "b")}
        return INetwork(network)

    async def inject(self, packets: PacketBatch) -> None:
        """Into C{in}."""
        await RunningSwitchTestCase.inject(self, packets)

    async def arrived(self, port: str, count: int) -> list[bytes]:
        """At the watcher."""
        return await self.watchers[port].count(count)

    async def settled(self, seconds: float) -> None:
        """Nothing to wait for."""
        self.assertEqual(0.0, seconds)
