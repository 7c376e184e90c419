"""The daemon's socket answers each question with one line, and nonsense with a word of advice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from gateway.control import ControlServer


async def echo(request: dict[str, Any]) -> Any:
    return {"text": request["text"]}


async def count(request: dict[str, Any]) -> AsyncIterator[Any]:
    for i in range(request["upto"]):
        yield i


def talk(folder: Path, *lines: bytes, answers: int | None = None) -> list[Any]:
    """Send the lines and read as many answers."""

    async def run() -> list[Any]:
        path = folder / "control.sock"
        server = asyncio.create_task(ControlServer(path, {"echo": echo}, {"count": count}).run())
        while not path.exists():
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.writelines(lines)
        await writer.drain()
        found = [json.loads(await reader.readline()) for _ in range(answers or len(lines))]
        writer.close()
        server.cancel()
        await asyncio.wait([server])
        assert not path.exists()
        return found

    return asyncio.run(asyncio.wait_for(run(), 10))


def test_a_question_has_one_answer(tmp_path: Path) -> None:
    assert talk(tmp_path, b'{"op":"echo","text":"\xe6\xb3\xb5"}\n') == [{"text": "泵"}]


def test_a_stream_is_a_line_an_item(tmp_path: Path) -> None:
    assert talk(tmp_path, b'{"op":"count","upto":3}\n', answers=3) == [0, 1, 2]


def test_nonsense_is_answered_and_does_not_end_the_conversation(tmp_path: Path) -> None:
    answers = talk(
        tmp_path,
        b"\xff\xfe\n",
        b"[]\n",
        b'{"op":"boom"}\n',
        b'{"op":"echo"}\n',
        b'{"op":"echo","text":"a"}\n',
    )
    assert all("error" in answer for answer in answers[:4])
    assert "known: count, echo" in answers[2]["error"]
    assert answers[4] == {"text": "a"}


def test_the_socket_is_for_owner_and_group_only(tmp_path: Path) -> None:
    async def mode() -> int:
        path = tmp_path / "control.sock"
        server = asyncio.create_task(ControlServer(path, {"echo": echo}, {}).run())
        while not path.exists():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        found = path.stat().st_mode & 0o777
        server.cancel()
        await asyncio.wait([server])
        return found

    assert asyncio.run(mode()) == 0o660
