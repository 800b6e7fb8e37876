"""
Which addresses are local: the private and special ones, as Zeek takes them when nothing else is configured, and those
of the networks that are.

Source: IANA's special-purpose registries as in Zeek 8.2's C{Site::private_address_space}; each IPv4 network also as
6to4.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openmb.errors import ConfigurationError, InvalidOption
from openmb.state.addresses import Network, addressNumber

_FOUR = (
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
    "192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/24 239.0.0.0/8 240.0.0.0/4 "
    "255.255.255.255/32"
)
_SIX = "::/128 ::1/128 64:ff9b:1::/48 100::/64 2001::/23 2001:2::/48 2001:db8::/32 fc00::/7 fe80::/10 fec0::/10"

_ALL, _HALF = (1 << 128) - 1, (1 << 64) - 1


def _four(network: ipaddress.IPv4Network) -> tuple[int, int]:
    return 32 - network.prefixlen, addressNumber(network.network_address) >> 32 - network.prefixlen


def _six(network: ipaddress.IPv6Network) -> tuple[int, int]:
    return 128 - network.prefixlen, int(network.network_address) >> 128 - network.prefixlen


def _private() -> Iterator[tuple[int, int]]:
    for text in _FOUR.split():
        network = ipaddress.IPv4Network(text)
        shift = 112 - network.prefixlen
        yield _four(network)
        yield shift, (0x2002 << 112 | int(network.network_address) << 80) >> shift
    for text in _SIX.split():
        yield _six(ipaddress.IPv6Network(text))


class LocalNetworks:
    """
    The networks whose addresses are local: Zeek's C{Site::local_nets}.

    @param networks: besides the private ones.
    @param withPrivate: the private and special ones too: Zeek's C{Site::private_address_space_is_local}.
    @ivar networks: @ivar withPrivate: as given.
    """

    def __init__(self, networks: tuple[Network, ...] = (), withPrivate: bool = True) -> None:
        self.networks, self.withPrivate = networks, withPrivate
        found = {_four(each) if isinstance(each, ipaddress.IPv4Network) else _six(each) for each in networks}
        self._prefixes = tuple(sorted(found.union(_private() if withPrivate else ())))
        self.isLocal = lru_cache(maxsize=65536)(self._find)

    @property
    def text(self) -> bytes:
        """The same for the same networks only."""
        return repr(self._prefixes).encode()

    @property
    def words(self) -> NDArray[np.uint64]:
        """The networks for kernels: C{uint64[n, 4]}, two words of the prefix, two of the mask."""
        networks = [(prefix << shift, _ALL >> shift << shift) for shift, prefix in self._prefixes]
        words = [(prefix >> 64, prefix & _HALF, mask >> 64, mask & _HALF) for prefix, mask in networks]
        return np.array(words, np.uint64).reshape(-1, 4)

    def _find(self, high: int, low: int) -> bool | None:
        """Is the address of these two words local? None if there are no local networks."""
        number = high << 64 | low
        return any(number >> shift == prefix for shift, prefix in self._prefixes) if self._prefixes else None


PRIVATE = LocalNetworks()
isLocal = PRIVATE.isLocal


def readNetworks(value: str | None, withPrivate: bool = True) -> LocalNetworks:
    """
    The networks of C{--local-nets}.

    @param value: networks in CIDR notation, separated by commas; or a file with such lines, where C{#} begins a
        comment; C{none}: none at all, not even private ones; None: no others.
    @raise InvalidOption: it is none of this.
    @raise ConfigurationError: a file that cannot be read, or has something else in it.
    """
    if value is None:
        return LocalNetworks((), withPrivate)
    if value.strip() == "none":
        return LocalNetworks((), False)
    refusal = ConfigurationError if _isFile(value) else InvalidOption
    words = _words(value)
    if not words:
        raise refusal(f"--local-nets: no network in {value!r}")
    try:
        return LocalNetworks(tuple(ipaddress.ip_network(word, strict=False) for word in words), withPrivate)
    except ValueError as error:
        raise refusal(f"--local-nets: {error}") from error


def _isFile(value: str) -> bool:
    try:
        return Path(value).is_file()
    except (OSError, ValueError):  # no path at all
        return False


def _words(value: str) -> list[str]:
    try:
        text = Path(value).read_text("utf-8") if _isFile(value) else value
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"--local-nets: {value}: {error}") from error
    lines = (line.partition("#")[0] for line in text.splitlines())
    return [word for line in lines for word in line.replace(",", " ").split()]
