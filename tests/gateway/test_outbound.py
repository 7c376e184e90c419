"""The guard against forged addresses: a corpus of ways to reach what is not meant, and a real server for what is."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import outbound
from gateway.outbound import NOT_PUBLIC, OutboundError, checked, post
from tests.gateway.sinks import Requests, http_server

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8")]
# Hosts as they stand in addresses, all of which lead to this machine, its neighbours or a cloud's metadata.
FORGED = (
    *("localhost", "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433"),
    *("0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "0x7f.1", "0.0.0.0"),
    *("0", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
    *("[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "10.0.0.1", "10.255.255.255", "167772161", "172.16.0.1"),
    *("172.31.255.255", "192.168.0.1", "192.168.1", "3232235521", "[::ffff:10.0.0.1]", "169.254.169.254"),
    *(
        "0xa9fea9fe",
        "2852039166",
        "169.254.43518",
        "[fe80::1]",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
    ),
    *("100.64.0.1", "100.127.255.255", "192.0.0.192", "198.18.0.1", "198.19.255.255", "192.88.99.1"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.51.100.1"),
    *(
        "203.0.113.1",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::a00:1]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2002:a00:1::1]",
    ),
    *("[2001:0:7f00:1::]", "[2001:db8::1]", "[fc00::1]", "[fd12:3456::1]", "[fec0::1]", "[ff02::1]"),
    *("[100::1]", "[5f00::1]"),
)


@pytest.fixture
def server() -> Iterator[Requests]:
    with http_server() as requests:
        yield requests


def known(*addresses: str) -> outbound.Resolve:
    return lambda _host, _port: addresses


@pytest.mark.parametrize("host", FORGED)
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_a_forged_host_is_not_reached(host: str, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def reached(*_: object) -> None:
        raise AssertionError("connected")

    monkeypatch.setattr(socket, "create_connection", reached)
    with pytest.raises(OutboundError, match=r"not public|has no address"):
        post(f"{scheme}://{host}/", b"", {})


def test_one_bad_address_among_good_ones_is_enough() -> None:
    with pytest.raises(OutboundError, match=r"10\.0\.0\.7, which is not public"):
        checked("mixed.example", 443, (), known("93.184.215.14", "10.0.0.7"))


@pytest.mark.parametrize(
    "text", ["93.184.215.14", "1.1.1.1", "2606:4700::1111", "223.5.5.5", "172.32.0.1", "100.128.0.1"]
)
def test_a_public_address_is_let_through(text: str) -> None:
    assert checked("good.example", 443, (), known(text)) == ([text], False)


@given(st.ip_addresses())
def test_whatever_python_calls_private_is_not_public(address: outbound.IP) -> None:
    if address.is_private or address.is_multicast or address.is_link_local or address.is_reserved:
        assert any(address in network for network in NOT_PUBLIC)


def test_a_network_of_the_plant_is_reached_when_it_is_named() -> None:
    plant = [ipaddress.ip_network("10.2.0.0/16")]
    assert checked("erp.plant", 443, plant, known("10.2.3.4")) == (["10.2.3.4"], True)
    with pytest.raises(OutboundError):
        checked("erp.plant", 443, plant, known("10.3.3.4"))


def test_plain_http_stays_inside_the_plant(server: Requests) -> None:
    with pytest.raises(OutboundError, match="only https"):
        post("http://example.com/", b"", {}, LOOPBACK, ask=known("93.184.215.14"))
    assert post(f"http://127.0.0.1:{server.port}/x?y=1", b"{}", {"A": "b"}, LOOPBACK).status == 200
    path, headers, body = server.got[0]
    assert (path, headers["a"], headers["host"], body) == ("/x?y=1", "b", f"127.0.0.1:{server.port}", b"{}")


def test_a_name_that_changes_its_mind_is_asked_once(server: Requests) -> None:
    """DNS rebinding: the second answer would lead elsewhere, but nobody asks for it."""
    answers = [["127.0.0.1"], ["127.0.0.99"], ["10.0.0.1"]]

    def ask(_host: str, _port: int) -> Sequence[str]:
        return answers.pop(0)

    post(f"http://rebind.example:{server.port}/", b"", {}, LOOPBACK, ask=ask)
    assert len(answers) == 2
    assert server.got[0][1]["host"] == f"rebind.example:{server.port}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(server: Requests, status: int) -> None:
    server.status, server.headers = status, {"Location": f"http://127.0.0.1:{server.port}/inside"}
    with pytest.raises(OutboundError, match="redirects are not followed"):
        post(f"http://127.0.0.1:{server.port}/", b"", {}, LOOPBACK)
    assert [path for path, _, _ in server.got] == ["/"]


def test_a_refusal_and_a_huge_answer_are_failures(server: Requests) -> None:
    server.status = 500
    with pytest.raises(OutboundError, match="answers 500"):
        post(f"http://127.0.0.1:{server.port}/", b"", {}, LOOPBACK)
    server.status, server.body = 200, b"x" * (64 * 1024 + 1)
    with pytest.raises(OutboundError, match="more than 65536 bytes"):
        post(f"http://127.0.0.1:{server.port}/", b"", {}, LOOPBACK)


def test_an_answer_that_drips_is_cut_off(server: Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "LONGEST", 0.3)
    server.body, server.drip = b"x" * 1000, 0.05
    with pytest.raises(OutboundError, match="does not answer"):
        post(f"http://127.0.0.1:{server.port}/", b"", {}, LOOPBACK)


def test_nobody_there_is_a_failure() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(OutboundError, match="does not answer"):
            post(f"http://127.0.0.1:{free.getsockname()[1]}/", b"", {}, LOOPBACK)
