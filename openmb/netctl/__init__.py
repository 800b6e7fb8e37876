"""
Networks: whatever steers packets to middleboxes, one package each, found through C{twisted.plugin}.

A network installed elsewhere is found too: its C{openmb/netctl} directory only has to lie on the plugin path.
"""

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
__all__: list[str] = []
