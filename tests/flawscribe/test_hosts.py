"""Which addresses are this machine's, and which are the public internet's."""

import pytest

from flawscribe.hosts import is_local, is_public, shown_url

# fmt: off
NOT_PUBLIC = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1",
    "169.254.169.254", "168.63.129.16", "100.100.100.200", "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1",
    "203.0.113.5", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "::8.8.8.8",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "fe80::1", "fe80::1%1", "fec0::1", "fc00::1",
    "fd00:ec2::254", "ff02::1", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::", "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "64:ff9b::127.0.0.1", "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808",
    "example.org", "127.1", "2130706433", "0x7f.1", "8.8.8.8.8",
]
# fmt: on


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_not_on_the_public_internet(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1"]
)
def test_on_the_public_internet(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.3.2.1", "::1", "0.0.0.0"])
def test_this_machine(host: str) -> None:
    assert is_local(host)


@pytest.mark.parametrize(
    "host", ["", "127.example.org", "localhost.example.org", "10.255.255.254", "8.8.8.8", "224.0.0.1", "::2"]
)
def test_not_this_machine(host: str) -> None:
    assert not is_local(host)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "https://me:secret@h.org:8443/a%20b.png?X-Amz-Signature=secret#secret",
            "https://h.org:8443/a%20b.png",
        ),
        ("http://h.org/\x1b[31m", "http://h.org/[U+001B][31m"),
        ("http://[::1", "an address that cannot be read"),
        ("data:image/png;base64,AA", "data:image/png;base64,AA"),
    ],
)
def test_addresses_are_told_without_their_secrets(url: str, told: str) -> None:
    assert shown_url(url) == told
