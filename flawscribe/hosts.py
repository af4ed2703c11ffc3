"""Where an address leads: to this machine, to a private network, or to the public internet."""

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from flawscribe.errors import one_line

_Address = IPv4Address | IPv6Address
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the public internet from a network without IPv4
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")  # RFC 8215: whatever its network makes of it
_COMPATIBLE = IPv6Network("::/96")  # RFC 4291: an IPv4 address in the last 32 bits, long deprecated
_SPECIAL = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))  # older Pythons take them for public
_METADATA = {ip_address("168.63.129.16")}  # Azure's wire server: a public address that answers only inside


def is_local(host: str) -> bool:
    """Whether the host is this machine: "localhost", a loopback address, or one of its interfaces' addresses.

    Names other than "localhost" are not looked up: what they lead to may be another machine the next time.
    """
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or _is_own(address)


def is_public(text: str) -> bool:
    """Whether a numeric address is one of the public internet, and none of this machine's.

    False for private, loopback, link-local, shared, reserved, multicast and unspecified ones and those at which
    clouds keep their machines' secrets; an IPv4 address inside an IPv6 one (mapped, compatible, 6to4, NAT64,
    Teredo) counts as itself. Texts that are no address are not public either.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return all(_global(a) for a in (_inside(address), address)) and not _is_own(address)


def shown_url(url: str) -> str:
    """An address without user, password, query and fragment, for messages: those may hold secrets."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    host = parts.netloc.rpartition("@")[2]
    return one_line(f"{parts.scheme}:{'//' if parts.netloc else ''}{host}{parts.path}", 200)


def _global(address: _Address) -> bool:
    if isinstance(address, IPv6Address):
        if address.sixtofour or address in _NAT64:
            return True  # the one inside is what counts
        if address.is_site_local or address in _NAT64_LOCAL:
            return False
    refused = (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or address in _METADATA
        or any(address in network for network in _SPECIAL)
    )
    return address.is_global and not refused


def _inside(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 address stands for; any other address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour or address
    if address.teredo:
        return address.teredo[1]
    if address in _NAT64 or address in _COMPATIBLE:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_own(address: _Address) -> bool:
    """Whether an interface of this machine has the address: only then can a socket be bound to it."""
    if address.is_multicast or address.is_reserved:
        return False
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except (OSError, ValueError):
        return False
    return True
