from twisted.application.service import ServiceMaker

controller = ServiceMaker("OpenMB controller", "openmb.tap", "The OpenMB controller.", "openmb")
middlebox = ServiceMaker(
    "OpenMB middlebox", "openmb.middlebox.tap", "A middlebox under an OpenMB controller.", "openmb-middlebox"
)
switch = ServiceMaker(
    "OpenMB switch", "openmb.netctl.embedded.tap", "The embedded software switch of OpenMB.", "openmb-switch"
)
