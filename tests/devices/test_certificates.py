"""Until when certificates hold: as openssl, which made them, says it."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.certificates import end_of, ends
from devices.mqtt_line import MqttLine


def made(path: Path, days: int) -> Path:
    words = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=plant -days {days}"
    words += f" -keyout {path.with_suffix('.key')} -out {path}"
    subprocess.run(words.split(), check=True, capture_output=True)
    return path


def told(path: Path) -> float:
    """What openssl says."""
    said = subprocess.run(
        ["openssl", "x509", "-in", path, "-noout", "-enddate"], check=True, capture_output=True
    )
    text = said.stdout.decode().strip().removeprefix("notAfter=")
    return datetime.strptime(text, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC).timestamp()


def test_the_end_is_what_openssl_says_before_and_after_2050(tmp_path: Path) -> None:
    soon, late = made(tmp_path / "soon.crt", 3), made(tmp_path / "late.crt", 20_000)
    assert ends(soon) == (told(soon),)
    assert ends(late) == (told(late),)
    chain = tmp_path / "chain.crt"
    chain.write_text("# our own\n" + late.read_text() + soon.read_text())
    assert ends(chain) == (told(late), told(soon))


def test_a_file_that_is_renewed_is_read_again(tmp_path: Path) -> None:
    path = made(tmp_path / "a.crt", 3)
    first = ends(path)
    assert ends(made(path, 90))[0] > first[0]


def test_what_is_no_certificate_has_no_end(tmp_path: Path) -> None:
    assert ends(tmp_path / "absent.crt") == ()
    broken = tmp_path / "broken.crt"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert ends(broken) == ()
    broken.write_bytes(b"\xff\x00-----BEGIN CERTIFICATE-----")
    assert ends(broken) == ()


@given(st.binary(max_size=60))
def test_no_bytes_do_more_than_be_refused(der: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        end_of(der)


def test_a_broker_names_what_it_shows_and_whom_it_trusts() -> None:
    line = MqttLine.model_validate(
        {"kind": "mqtt", "host": "b", "ca_file": "ca.crt", "cert_file": "we.crt", "key_file": "we.key"}
    )
    assert (line.certificate, line.authorities) == (Path("we.crt"), Path("ca.crt"))
