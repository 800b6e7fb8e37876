"""C{openmb certs}: the certificates by which controller and middleboxes know each other."""

from __future__ import annotations

from pathlib import Path

import click
from cryptography import x509

from openmb.errors import ConfigurationError
from openmb.southbound.certificates import (
    REPLACED,
    identityOf,
    makeAuthority,
    makeCertificate,
    readAuthorities,
    readCertificate,
    renewCertificate,
)
from openmb.southbound.revocation import Revocations, revoke
from openmb.wire.formats import End

directoryOption = click.option(
    "--directory",
    default=Path("certificates"),
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where certificates and keys lie.",
)


@click.group("certs", short_help="Make certificates for the controller and the middleboxes.")
def command() -> None:
    """
    Make the certificates by which controller and middleboxes know each other.

    First the authority, once; then one certificate for the controller and one for each middlebox. A middlebox can
    register only under the name and the kind of its certificate.
    """


@command.command("authority")
@directoryOption
def authority(directory: Path) -> None:
    """Make the authority that signs all the others."""
    click.echo(f"made {makeAuthority(directory)}; keep its key here, and take only the certificate elsewhere")


@command.command("controller")
@click.argument("name", default="controller")
@directoryOption
def controller(name: str, directory: Path) -> None:
    """Make a certificate for the controller NAME."""
    click.echo(f"made {makeCertificate(directory, End.CONTROLLER, name)}")


@command.command("middlebox")
@click.argument("kind")
@click.argument("name")
@directoryOption
def middlebox(kind: str, name: str, directory: Path) -> None:
    """Make a certificate for the middlebox NAME of KIND."""
    click.echo(f"made {makeCertificate(directory, End.MIDDLEBOX, name, kind)}")


@command.command("renew")
@click.argument("name")
@directoryOption
def renew(name: str, directory: Path) -> None:
    """Make a new key and certificate for NAME in the place of the old ones; running services read them again."""
    click.echo(f"made {renewCertificate(directory, name)}; bring it and its key to the machine of {name}")


@command.command("revoke")
@click.argument("name")
@directoryOption
def revoked(name: str, directory: Path) -> None:
    """
    Shut out whoever has the certificate NAME, or one before it was renewed, open sessions included, once every service
    has the list.
    """
    click.echo(f"{revoke(directory, name)} has it now: bring that file to every machine, beside authority.pem")


@command.command("revoked")
@directoryOption
def listed(directory: Path) -> None:
    """Show what is revoked: when, the serial number, and the name if the directory still has the certificate."""
    found = Revocations.load(directory, readAuthorities(directory))
    paths = [*directory.glob("*.pem"), *directory.glob(f"{REPLACED}/*.pem")]
    names = {each.serial_number: _name(each) for each in map(readCertificate, paths)}
    for serial, date in sorted(found.dates.items(), key=lambda entry: entry[1]):
        click.echo(f"{date:%Y-%m-%d %H:%M} UTC  {serial:x}  {names.get(serial, '-')}")


def _name(certificate: x509.Certificate) -> str:
    try:
        return identityOf(certificate).name
    except ConfigurationError:
        return "an authority, or another's"
