"""The whole chain on the embedded broker, as a visitor sees it: `wenxun demo --exit`, at twice its speed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from agents.commands.replay import Recording, load
from agents.demo.scenario import load as load_day
from agents.demo.story import CHECKS, STEPS
from pipeline.model import Escalation, EventHead, RawBatch
from pipeline.replay import replay

pytestmark = [pytest.mark.embedded, pytest.mark.fault]      # a whole day as a user: `make fault`, as `make demo`
ROOT = Path(__file__).parent.parent.parent
LIMIT_SECONDS = 480


@dataclass(frozen=True)
class Day:
    code: int
    output: str
    folder: Path
    file: Path

    @property
    def recording(self) -> Recording:
        return load(self.file, None)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    folder, file = tmp_path_factory.mktemp("demo") / "data", tmp_path_factory.mktemp("record") / "day.jsonl"
    command = [sys.executable, "-m", "agents", "demo", "--exit", "--speed", "2", "--data", str(folder),
               "--record", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
    return Day(done.returncode, done.stdout + done.stderr, folder, file)


def test_the_demo_sees_every_step_and_ends_with_0(day: Day) -> None:
    assert day.code == 0, day.output
    for step in STEPS:
        assert step.title in day.output
    for check in CHECKS:
        assert f"✓ {check.title}" in day.output
    assert "没有看到" not in day.output


def test_no_author_telephone_number_or_secret_is_kept_anywhere(day: Day) -> None:
    nickname = load_day().nickname.encode()
    key = (day.folder / "rules" / "secrets" / "signing.key").read_bytes().strip()
    secrets = {day.folder / "rules" / "secrets" / "signing.key"}
    for path in [day.file, *(each for each in day.folder.rglob("*") if each.is_file() and each not in secrets)]:
        content = path.read_bytes()
        for kept in (nickname, b"13000000000", key):
            assert kept not in content, f"{kept!r} in {path}"


def test_replay_decides_what_the_stream_decided(day: Day) -> None:
    recording = day.recording
    decided = list(replay(recording.inputs, recording.book, recording.partitions, recording.recorded))
    said = [each.record for each in recording.inputs]
    assert changes(decided) == changes(said)
    assert messages(decided) == messages(said)
    assert states(said) <= states(decided)


def test_every_post_of_the_day_was_collected_once(day: Day) -> None:
    items = [item for each in day.recording.inputs if isinstance(each.record, RawBatch) for item in each.record.items]
    posts = {(post.site, post.guid) for post in load_day().posts}
    assert len({item.id for item in items}) == len(posts)
    assert len({(item.id, item.revision) for item in items}) == len(load_day().posts)


def changes(records: list[object]) -> set[tuple[str, int, int, str]]:
    """Level decisions, each once: a repeat in the stream is the same decision."""
    return {(head.id, head.decision.at, head.level, head.decision.why) for head in records
            if isinstance(head, EventHead) and head.number}


def messages(records: list[object]) -> set[bytes]:
    return {msgspec.json.encode(each, order="deterministic") for each in records if isinstance(each, Escalation)}


def states(records: list[object]) -> set[tuple[str, int]]:
    return {(head.id, head.version) for head in records if isinstance(head, EventHead)}
