"""How clients reach this machine and others, whatever their environment says."""

import socket
from collections.abc import Iterator
from http import HTTPStatus

import httpx
import pytest

from polar.errors import InvalidInput
from service.addresses import http_url, is_loopback, reach
from service.client import Client, Unreachable
from tests.service.servers import server_that_answers


@pytest.fixture
def here() -> Iterator[str]:
    """A server on the loopback that answers every request."""
    with server_that_answers(HTTPStatus.OK) as url:
        yield url


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_PROXY", "http://127.0.0.1:9"),
        ("ALL_PROXY", "socks5://127.0.0.1:9"),
        ("http_proxy", "nonsense://127.0.0.1"),
        ("NETRC", "/proc/self/mem"),
        ("SSL_CERT_FILE", "/nonexistent"),
        ("SSL_CERT_DIR", "/nonexistent"),
        ("SSLKEYLOGFILE", "/nonexistent/keys"),
    ],
)
def test_this_machine_is_reached_whatever_the_environment_says(
    here: str, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    assert httpx.get(here, **reach(here)).is_success


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8650",
        "http://localhost:1",
        "http://[::1]:1",
        "http://127.1.2.3",
        "http://0.0.0.0:8650",  # which connects to this machine
        "http://[::]:8650",
    ],
)
def test_no_proxy_and_no_certificate_is_needed_on_this_machine(url: str) -> None:
    assert reach(url) == {"trust_env": False, "verify": False}


def test_this_machine_is_known_by_its_own_name() -> None:
    assert not reach(f"http://{socket.gethostname()}:1")["trust_env"]


def test_certificates_of_this_machine_are_verified_where_it_has_some() -> None:
    assert reach("https://localhost:1") == {"trust_env": False, "verify": True}


@pytest.mark.parametrize(
    "url", ["http://example.org", "https://polar.example.org", "http://10.0.0.7:8650", "nonsense"]
)
def test_others_are_reached_as_the_environment_says(url: str) -> None:
    assert reach(url) == {"trust_env": True, "verify": True}


def test_a_remote_service_is_asked_by_way_of_the_proxy(
    here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It never was, so that a service behind a proxy could not be reached at all.
    monkeypatch.setenv("HTTP_PROXY", here)

    assert httpx.get("http://polar.invalid/", **reach("http://polar.invalid")).is_success


@pytest.mark.parametrize(
    ("name", "value"),
    [("HTTP_PROXY", "nonsense://127.0.0.1"), ("SSL_CERT_FILE", "/nonexistent")],
)
def test_an_environment_that_keeps_a_client_from_others_is_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(Unreachable, match=r"http://polar\.invalid cannot be reached .* SSL_CERT"):
        Client("http://polar.invalid")


def test_an_address_that_is_none_is_not_blamed_on_the_environment() -> None:
    with pytest.raises(InvalidInput, match="is not the address of a server"):
        Client("http://[::1")


@pytest.mark.parametrize("host", ["", "example.org", "10.0.0.1", "127.0.0.1.example.org", "::"])
def test_other_hosts_are_not_the_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:abc",
        "http://127.0.0.1:70000",
        "http://127.0.0.1:0",
        "http://a b",
        "http://a\tb",
        "http://a\n",
        "http://:80",
        "http://[::1",
        "http:///path",
        "ftp://a",
        "a:80",
        "http://a..b/",
        f"http://{64 * 'a'}.example/",
        "https://xn--a/",
    ],
)
def test_what_is_no_address_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="is not the address of a server; allowed: http://host"):
        http_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://h",
        "https://h:443/path/",
        "http://[::1]:5650",
        "http://0.0.0.0:1",
        "http://\u00e4.de",
    ],
)
def test_addresses_of_servers_are_taken_as_they_stand(url: str) -> None:
    assert http_url(url) == url
    httpx.URL(url)  # the clients take them, too
