"""Schemathesis over every operation of the API, as every role and as nobody: no error of ours, no answer undescribed.

Run ``python -m tests.soak.api --examples 100``. A real server over a week of work; each role starts with a fresh one.
The everyday run (``tests/web/test_schema.py``) asks the same with fewer examples.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import uvicorn

from gateway.config import load_site
from gateway.history import History
from gateway.web import daemon as web_daemon
from gateway.web.app import create_app
from gateway.web.daemon import Daemon
from tests.web.people import add, token
from tests.web.scene import furnish, now_ms, record
from ticketing import ROLES, Desk

ROOT = Path(__file__).parents[2]
CHECKS = (
    "status_code_conformance,content_type_conformance,response_schema_conformance"  # 500 is described nowhere
)
LONGEST = 1800  # s for one role


@contextmanager
def gateway(folder: Path, role: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Address of a gateway after a week of work, and the headers of somebody with ``role``."""
    site = load_site(ROOT / "examples" / "demo")
    desk = Desk.open(folder / "core.db", site=site.site.id)
    furnish(desk, site, now_ms())
    history = History(folder / "history.db")
    record(history, site, now_ms(), hours=0.2)
    app = create_app(site, desk, history, Daemon(folder / "control.sock"))
    add(desk, "somebody", role if role in ROLES else "viewer", at=now_ms())
    headers = token(desk, "somebody", at=now_ms())
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://localhost:{port}", headers
    server.should_exit = True
    thread.join(20)
    history.close()
    desk.close()


def asked(role: str, examples: int, seed: int, folder: Path) -> int:
    """Schemathesis' exit code for one role."""
    with gateway(folder, role) as (address, headers):
        program = ["--header", f"Authorization: {headers['Authorization']}"] if role in ROLES else []
        schema = folder / "openapi.json"
        schema.write_bytes(
            httpx2.get(f"{address}/api/openapi.json", headers=headers, timeout=60).raise_for_status().content
        )
        words = [
            *(
                sys.executable,
                "-c",
                "from schemathesis.cli import schemathesis; schemathesis()",
                "run",
                str(schema),
            ),
            *("--url", address, "--checks", CHECKS, "--max-examples", str(examples), "--seed", str(seed)),
            *("--phases", "examples,coverage,fuzzing,stateful", "--workers", "1", "--no-color"),
            *("--continue-on-failure", "--request-timeout", "30", "--warnings", "off", *program),
        ]
        paths = {"PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.web.file_bodies"}
        return subprocess.run(
            words, check=False, timeout=LONGEST, cwd=folder, env=os.environ | paths
        ).returncode


def main() -> int:
    """Every role, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=50, help="of each operation and role")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--roles", nargs="*", default=[*ROLES, "nobody"])
    given = parser.parse_args()
    web_daemon.MOST_LISTENERS, web_daemon.PATIENCE = 0, 0.2  # a live stream would never end
    failed = []
    for role in given.roles:
        folder = Path(tempfile.mkdtemp(prefix=f"watchkeeper-api-{role}-"))
        print(f"== {role}", flush=True)
        if asked(role, given.examples, given.seed, folder) != 0:
            failed.append(role)
        shutil.rmtree(folder, ignore_errors=True)
    print(f"failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
