from __future__ import annotations

import contextlib
import ipaddress

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gwd.http import addresses
from gwd.http.addresses import Networks, canonical, limit_key


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("64:ff9b::192.0.2.1", "192.0.2.1"),
        ("0064:FF9B:0:0:0:0:c000:0201", "192.0.2.1"),
        ("::ffff:192.0.2.1%eth0", "192.0.2.1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("64:ff9b:1::1", "64:ff9b:1::1"),
        ("::1", "::1"),
    ],
)
def test_an_address_has_one_spelling(written: str, read: str) -> None:
    assert canonical(written) == read


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.4:80",
        "[::1]",
        "1.2.3.4%eth0",
        " 1.2.3.4",
        "1.2.3.4\n",
        "1.2.3.4\x00",
        "::1\x00",
        "1.2.3.256",
        "١.2.3.4",
        "\ud800::1",
        "1::2::3",
        "0x7f.1",
    ],
)
def test_what_is_no_address_is_a_value_error_and_in_no_network(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        canonical(text)
    with pytest.raises(ValueError, match=r".+"):
        limit_key(text, 64)
    assert not Networks(["0.0.0.0/0", "::/0"]).contains(text)


def test_ipv6_is_counted_by_its_prefix_and_ipv4_by_its_address() -> None:
    assert limit_key("2001:db8:1:2:3:4:5:6", 64) == bytes.fromhex("20010db800010002") + bytes(8)
    assert limit_key("2001:db8:1:2:3::1", 64) == limit_key("2001:db8:1:2:ffff::", 64)
    assert limit_key("2001:db8:1:2::1", 64) != limit_key("2001:db8:1:3::1", 64)
    assert limit_key("2001:db8:ffff::1", 33) == bytes.fromhex("20010db880") + bytes(11)
    assert limit_key("2001:db8::1", 128) == bytes.fromhex("20010db8") + bytes(11) + b"\1"
    assert limit_key("2001:db8::1", 0) == bytes(16)
    assert limit_key("192.0.2.1", 64) == bytes([192, 0, 2, 1])


def test_nat64_and_mapped_users_do_not_share_one_key() -> None:
    assert limit_key("64:ff9b::192.0.2.1", 64) == limit_key("192.0.2.1", 64)
    assert limit_key("::ffff:192.0.2.1", 64) == limit_key("192.0.2.1", 64)
    assert limit_key("64:ff9b::192.0.2.1", 64) != limit_key("64:ff9b::192.0.2.2", 64)


def test_a_network_holds_its_edges_and_nothing_past_them() -> None:
    networks = Networks(["10.1.0.0/16", "2001:db8::/32", "192.0.2.7"])
    for inside in ("10.1.0.0", "10.1.255.255", "2001:db8::", "2001:db8:ffff::1", "192.0.2.7"):
        assert networks.contains(inside)
    for outside in ("10.0.255.255", "10.2.0.0", "2001:db7:ffff::", "2001:db9::", "192.0.2.8"):
        assert not networks.contains(outside)


def test_an_ipv4_network_holds_every_spelling_of_its_addresses() -> None:
    networks = Networks(["10.0.0.0/8"])
    assert networks.contains("::ffff:10.1.2.3")
    assert networks.contains("64:ff9b::10.1.2.3")
    assert Networks(["::ffff:10.0.0.0/104"]).contains("10.1.2.3")
    assert not Networks(["::ffff:10.0.0.0/104"]).contains("11.1.2.3")
    assert Networks(["64:ff9b::c000:207"]).contains("192.0.2.7")


def test_the_whole_ipv6_internet_holds_no_ipv4_address() -> None:
    networks = Networks(["::/0"])
    assert networks.contains("2001:db8::1")
    assert not networks.contains("192.0.2.1")
    assert not networks.contains("::ffff:192.0.2.1")


def test_nested_and_repeated_networks_are_one() -> None:
    networks = Networks(["10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/8", "10.255.0.0/16", "12.0.0.0/8"])
    assert networks.contains("10.2.0.1")
    assert not networks.contains("11.0.0.1")
    assert repr(networks) == "<Networks 10.0.0.0-10.255.255.255 12.0.0.0-12.255.255.255>"


def test_no_networks_hold_nothing_and_are_false() -> None:
    assert not Networks([])
    assert not Networks([]).contains("10.0.0.1")
    assert not Networks([]).contains("::1")
    assert Networks(["::1"])


@pytest.mark.parametrize(
    ("cidr", "said"),
    [
        ("10.1.2.3/8", r'write "10\.0\.0\.0/8" .* "10\.1\.2\.3"'),
        ("2001:db8::1/32", r'write "2001:db8::/32"'),
        ("10.0.0.0/33", "past 32"),
        ("2001:db8::/129", "past 128"),
        ("10.0.0.0/", "no prefix length"),
        ("10.0.0.0/-1", "no prefix length"),
        ("10.0.0.0/٨", "no prefix length"),
        ("10.0.0.0/255.0.0.0", "no prefix length"),
        ("example.com", "not a network"),
        ("", "not a network"),
        ("fe80::1%eth0/64", "zone"),
        ("64:ff9b::/96", "count as IPv4"),
        ("::ffff:0:0/96", "count as IPv4"),
        ("::ffff:0:0/32", "count as IPv4"),
    ],
)
def test_a_bad_network_is_refused_with_what_to_write_instead(cidr: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Networks([cidr])


_ips = st.one_of(
    st.ip_addresses(), st.ip_addresses(v=4), st.ip_addresses(network="10.0.0.0/14"),
    st.ip_addresses(network="2001:db8::/62"),
)  # fmt: skip


@st.composite
def _networks(draw: st.DrawFn) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    ip = draw(_ips)
    length = draw(st.integers(0, ip.max_prefixlen))
    net = ipaddress.ip_network((ip, length), strict=False)
    assume(len(addresses.pack(str(net[0]))) * 8 == ip.max_prefixlen)
    return net


@settings(max_examples=200, deadline=None)
@given(st.lists(_networks(), max_size=8), st.lists(_ips, max_size=8))
def test_membership_agrees_with_the_ipaddress_module(
    nets: list[ipaddress.IPv4Network | ipaddress.IPv6Network],
    ips: list[ipaddress.IPv4Address | ipaddress.IPv6Address],
) -> None:
    networks = Networks(map(str, nets))
    edges = [edge for net in nets for edge in (net[0], net[-1])]
    for ip in ips + edges:
        if len(addresses.pack(str(ip))) * 8 != ip.max_prefixlen:
            continue  # mapped or NAT64: by intent not what ipaddress says
        assert networks.contains(str(ip)) == any(ip in net for net in nets)


@settings(max_examples=200, deadline=None)
@given(_ips)
def test_canonical_is_a_fixed_point_and_keeps_the_bytes(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    once = canonical(str(ip))
    assert canonical(once) == once
    assert addresses.pack(once) == addresses.pack(str(ip)) == addresses.pack(ip.exploded)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=50) | st.text("0123456789abcdef:./%", max_size=50))
def test_no_text_raises_anything_but_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        addresses.network(text)
    assert Networks(["::/0"]).contains(text) in (True, False)


@given(
    cidrs=st.lists(st.sampled_from(["10.0.0.0/30", "10.0.0.8/29", "10.0.1.0/32", "2001:db8::/64"])),
    first=st.integers(0, 300),
    count=st.integers(0, 20),
)
def test_a_range_overlaps_networks_if_one_of_its_addresses_lies_in_them(
    cidrs: list[str], first: int, count: int
) -> None:
    networks = Networks(cidrs)
    several = [(0x0A000000 + first + n).to_bytes(4, "big") for n in range(count + 1)]
    inside = any(map(networks.contains_packed, several))
    assert networks.overlap(several[0], several[-1]) is inside
    low, high = addresses.pack("2001:db8::ffff"), addresses.pack("2001:db9::")
    assert networks.overlap(low, high) is ("2001:db8::/64" in cidrs)
    assert not networks.overlap(high, high)
