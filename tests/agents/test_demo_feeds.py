"""The demo's feeds as servers of their own: what a whole installation reads when it plays the demo."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from agents.demo import feeds, scenario
from agents.demo.book import read_book
from pipeline.model import Millis
from tests.ports import free_ports

SCENE = scenario.load()
START: Millis = 1_763_000_000_000


def test_the_day_begins_now_and_keeps_its_order() -> None:
    told = feeds.retimed(SCENE, START, 30.0)
    assert [post.guid for post in told.posts] == [post.guid for post in SCENE.posts]
    assert told.opens == START and told.closes - START == round((SCENE.closes - SCENE.opens) / 30)
    before = {post.guid for post in SCENE.posts if post.at < SCENE.opens}
    assert before == {post.guid for post in told.posts if post.at < START}
    assert all(START - 86_400_000 < post.published <= post.at <= told.closes for post in told.posts)


def test_the_rules_name_the_host_and_are_written_again(tmp_path: Path) -> None:
    for _ in range(2):
        book, key = feeds.write_rules(tmp_path / "rules", scenario.FOLDER / "rules", SCENE, "demo-feeds", 9100)
    assert [source.url.split("/")[2] for source in book.sources] == [
        f"demo-feeds:{9100 + place}" for place in range(len(SCENE.sites))]
    assert (tmp_path / "rules/secrets/signing.key").read_text().strip() == key
    inbox = f"http://demo-feeds:{9100 + len(SCENE.sites)}/inbox/duty"
    assert (tmp_path / "rules/secrets/duty.url").read_text().strip() == inbox
    assert read_book(tmp_path / "rules").hash == book.hash


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    port = free_ports(len(SCENE.sites) + 1)
    process = subprocess.Popen([sys.executable, "-m", "agents.demo.feeds", "--port", str(port),
                                "--rules", str(tmp_path / "rules")])
    try:
        yield port, process
    finally:
        process.kill()
        process.wait()


def get(url: str) -> bytes:
    """The answer, waited for while the server starts."""
    until = time.monotonic() + 60
    while True:
        try:
            with urlopen(url, timeout=10) as answer:
                return bytes(answer.read())
        except (URLError, OSError):
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def test_it_serves_every_source_of_its_rules_and_the_receiving_page(
        tmp_path: Path, served: tuple[int, subprocess.Popen[bytes]]) -> None:
    port, process = served
    assert "云溪".encode() in get(f"http://127.0.0.1:{port}/feed")
    for source in read_book(tmp_path / "rules").sources:
        assert get(source.url)
    assert b"<html" in get(f"http://127.0.0.1:{port + len(SCENE.sites)}/").lower()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_a_taken_port_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert feeds.main(["--port", str(taken.getsockname()[1]), "--rules", str(tmp_path / "rules")]) == 2
    assert "another program listens there already" in capsys.readouterr().err
