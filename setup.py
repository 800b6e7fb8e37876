"""
Installation of OpenMB.

C{package_dir} is spelt out because without it an editable install hides C{twisted/plugins} from C{twistd}.
"""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

RUNTIME = [
    "attrs>=26.1",
    "Automat>=25.4",
    "click>=8.3",
    "construct>=2.10.70",
    "cryptography>=46",
    "hyperlink>=21.0",
    "hyperscan>=0.9.1",
    "klein>=24.8",
    "numba>=0.65",
    "numpy>=2.2",
    "prometheus_client>=0.24",
    "pyOpenSSL>=25.3",
    "python-pcapng>=2.1.1",
    "rich>=14",
    "service-identity>=24.2",
    "treq>=25.5",
    "twisted[tls]>=26.4",
    "zope.interface>=8.0",
    "zstandard>=0.25",
]

TEST = [
    "dpkt>=1.9.8",
    "hypothesis>=6.150",
    "import-linter>=2.9",
    "lz4>=4.4.5",
    "mypy>=1.19",
    "mypy-zope>=1.0.14",
    "ruff==0.17.6",
]


def readVersion() -> str:
    """The version that C{openmb._version} states, read without importing anything."""
    text = (HERE / "openmb" / "_version.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    if found is None:
        raise RuntimeError("openmb/_version.py states no version")
    return found.group(1)


setup(
    name="openmb",
    version=readVersion(),
    description="Fine-grained control of the internal state of middleboxes, so that live flows move without breaking",
    author="The OpenMB developers",
    license="MIT",
    python_requires=">=3.11",
    package_dir={"": "."},
    packages=[*find_packages(include=["openmb", "openmb.*"]), "twisted.plugins"],
    package_data={
        "openmb": ["py.typed"],
        "openmb.demo": ["traces/*.pcap", "traces/*.md"],
        "twisted.plugins": ["openmb_plugin.py"],
    },
    install_requires=RUNTIME,
    extras_require={"test": TEST, "bench": ["lz4>=4.4.5"], "plots": ["matplotlib>=3.10"]},
    entry_points={"console_scripts": ["openmb = openmb.northbound.cli:run"]},
    zip_safe=False,
)
