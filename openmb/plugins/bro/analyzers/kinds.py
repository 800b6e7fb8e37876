"""
Every analyser, by its service.
"""

from __future__ import annotations

from collections.abc import Mapping

from openmb.plugins.bro.analyzers.analyzer import Analyzer
from openmb.plugins.bro.analyzers.dhcp import DHCPAnalyzer
from openmb.plugins.bro.analyzers.dns.analyzer import DNSAnalyzer
from openmb.plugins.bro.analyzers.dtls import DTLSAnalyzer
from openmb.plugins.bro.analyzers.ftp import FTPAnalyzer
from openmb.plugins.bro.analyzers.http.analyzer import HTTPParser
from openmb.plugins.bro.analyzers.imap import IMAPAnalyzer
from openmb.plugins.bro.analyzers.ntp import NTPAnalyzer
from openmb.plugins.bro.analyzers.pop3 import POP3Analyzer
from openmb.plugins.bro.analyzers.rdp import RDPAnalyzer
from openmb.plugins.bro.analyzers.smtp import SMTPAnalyzer
from openmb.plugins.bro.analyzers.snmp import SNMPAnalyzer
from openmb.plugins.bro.analyzers.ssh import SSHAnalyzer
from openmb.plugins.bro.analyzers.ssl import SSLAnalyzer

_KINDS: tuple[type[Analyzer], ...] = (
    HTTPParser,
    DNSAnalyzer,
    SSLAnalyzer,
    DTLSAnalyzer,
    SSHAnalyzer,
    FTPAnalyzer,
    SMTPAnalyzer,
    POP3Analyzer,
    IMAPAnalyzer,
    DHCPAnalyzer,
    NTPAnalyzer,
    SNMPAnalyzer,
    RDPAnalyzer,
)
KINDS: Mapping[int, type[Analyzer]] = {int(kind.service): kind for kind in _KINDS}
