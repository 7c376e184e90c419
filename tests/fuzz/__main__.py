"""A coverage-guided fuzzer over every parser: ``python -m tests.fuzz [PARSER …] [--runs N]``, or ``make fuzz``.

One line per parser. What crashes one, or hangs it, is kept under .fuzz/ and named; so is what led to new
branches, and the next run begins there.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

KEPT = Path(".fuzz")
ROOMS = ["devices", "rules", "gateway.config"]  # whose branches guide the fuzzer
HANGS = 20  # seconds after which one input counts as a hang
_SAID = r"^(?:[\w.]*(?:Error|Exception|Interrupt)\b.*|ALARM:.*|==\d+== ?ERROR:.*)$"
_WORD = re.compile(rb"[A-Za-z_]\w+|[<>=!]=")


def fuzz(name: str, runs: int) -> bool:
    """One parser in a process of its own; does it stand?"""
    from tests.fuzz.parsers import PARSERS

    corpus, crash = KEPT / name, KEPT / f"{name}-"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(PARSERS[name].seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = KEPT / f"{name}.dict"
    found = sorted({word.decode() for seed in PARSERS[name].seeds for word in _WORD.findall(seed)})
    words.write_text("# words of the seeds\n" + "".join(f'"{word}"\n' for word in found or ["ok"]))
    options = [f"-runs={runs}", f"-timeout={HANGS}", "-rss_limit_mb=2048", "-max_len=4096"]
    began = time.monotonic()
    options += [f"-dict={words}", f"-artifact_prefix={crash}", str(corpus)]
    command = [sys.executable, "-m", __spec__.name, "--one", name, *options]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    last = re.findall(r"^#(\d+)\s.* cov: (\d+) ft: \d+ corp: (\d+)", done.stderr, re.MULTILINE)
    tried, edges, kept = last[-1] if last else ("0", "0", "0")
    took = f"{int(tried):,} runs, {edges} edges, {kept} inputs kept, {time.monotonic() - began:.0f} s"
    if not done.returncode:
        print(f"{name:13} {took}: no crash, no hang", flush=True)
        return True
    said = re.findall(_SAID, done.stdout + done.stderr, re.MULTILINE)
    artifact = re.search(r"Test unit written to (\S+)", done.stderr)
    print(f"{name:13} {took}: {said[0] if said else done.stderr[-300:].strip()}")
    print(f"{'':13} the input is {artifact[1] if artifact else 'not kept'}", flush=True)
    return False


def one(name: str, options: list[str]) -> None:
    """Be the process that fuzzes ``name``."""
    import atheris

    with atheris.instrument_imports(include=ROOMS):
        from tests.fuzz.parsers import PARSERS

    atheris.Setup([name, *options], PARSERS[name].read)
    atheris.Fuzz()


def main() -> None:
    """Fuzz those that are named, or all."""
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], sys.argv[3:])
        return
    from tests.fuzz.parsers import PARSERS

    words = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    words.add_argument("parser", nargs="*", help=f"of {', '.join(PARSERS)}; all if absent")
    words.add_argument("--runs", type=int, default=100_000, help="for each")
    chosen = words.parse_args()
    if strange := set(chosen.parser) - set(PARSERS):
        words.error(f"no parser {', '.join(sorted(strange))}; there are {', '.join(PARSERS)}")
    stood = [fuzz(name, chosen.runs) for name in chosen.parser or PARSERS]
    sys.exit(not all(stood))


if __name__ == "__main__":
    main()
