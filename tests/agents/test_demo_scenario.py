"""The demo's day is consistent: every format parses, the story reaches its levels and nothing else does."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from agents.demo.book import read_book, source_rules, write_rules
from agents.demo.formats import Page, render
from agents.demo.scenario import FOLDER, Format, Part, Post, Scenario, Site, load
from agents.demo.sites import base_url
from agents.demo.story import SUBJECT
from pipeline.collect.entries import Reading
from pipeline.collect.feed import parse_feed
from pipeline.collect.privacy import mask
from pipeline.errors import SettingsError
from pipeline.model import EventHead, EventStatus, RawItem, ScoredBatch, Tick, Why
from pipeline.rulebook.schema import HOUR, MINUTE, RuleBook, SourceFormat
from pipeline.score.score import Scorer
from pipeline.track.tracker import Tracker

ZONE = ZoneInfo("Asia/Shanghai")
DAY = load()
BOOK = read_book(FOLDER / "rules")
PORTS = {site.id: 40_000 + index for index, site in enumerate(DAY.sites)}


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> RuleBook:
    return write_rules(tmp_path_factory.mktemp("demo") / "rules", DAY, PORTS, 40_100, "key", 4)


@pytest.fixture(scope="module")
def scored() -> list[ScoredBatch]:
    scorer = Scorer(BOOK)
    return [ScoredBatch(subject=subject, book=BOOK.hash, items=(each,))
            for item in collected() for subject, each in scorer.score(item).items()]


def served(site: Site, at: int, backfill: bool = False) -> tuple[RawItem, ...]:
    """What the collector makes of the site's feed at a time."""
    page = Page(site, base_url(PORTS[site.id]), DAY.nickname, DAY.visible(site.id, at))
    content_type, body = render(page)
    form = SourceFormat.DISCOURSE if site.format is Format.DISCOURSE else SourceFormat.AUTO
    how = Reading(site.id, page.base + "/feed", ZONE, at, backfill)
    return parse_feed(body, how, content_type=content_type, form=form).items


@cache
def collected() -> tuple[RawItem, ...]:
    """Every item of the day as its poll brings it, one poll a minute after each post; edits apart."""
    known: dict[str, RawItem] = {}
    first = {item.id: item for site in DAY.sites for item in served(site, DAY.opens, backfill=True)}
    sites = {site.id: site for site in DAY.sites}
    for post in DAY.posts:
        if post.at >= DAY.opens:
            for item in served(sites[post.site], post.at + MINUTE):
                known.setdefault(item.id, first.get(item.id, item))
    return tuple(sorted(known.values(), key=lambda item: item.first_seen_at))


def tracked(book: RuleBook) -> tuple[list[EventHead], dict[str, EventHead]]:
    """All heads that a tracker sends on that day and the newest of each event, with a tick every ten minutes."""
    scorer, tracker, heads = Scorer(book), Tracker(0, 4), list[EventHead]()
    now = DAY.opens
    for item in collected():
        while now < item.first_seen_at:
            now += 10 * MINUTE
            heads += tracker.handle(Tick(at=min(now, item.first_seen_at)), book).heads
        for subject, scored in scorer.score(item).items():
            heads += tracker.handle(ScoredBatch(subject=subject, book=book.hash, items=(scored,)), book).heads
    while now < DAY.closes + HOUR:
        now += 10 * MINUTE
        heads += tracker.handle(Tick(at=now), book).heads
    return heads, {head.id: head for head in heads}


def within(parts: set[Part], end: int, window: int) -> tuple[int, int]:
    """(posts, sources) of a window up to `end`; an edit is no new post."""
    posts = {(post.site, post.guid): post for post in DAY.posts
             if post.part in parts and end - window < post.published <= end}
    return len(posts), len({post.site for post in posts.values()})


def rumours() -> list[Post]:
    return [post for post in DAY.posts if post.part is Part.RUMOUR and post.at == post.published]


def test_texts_are_unique_so_that_each_post_is_one_item() -> None:
    texts = [post.text for post in DAY.posts]
    assert len(set(texts)) == len(texts)


def test_the_county_has_independent_sites_of_every_format_and_one_notice_board() -> None:
    assert len({site.origin for site in DAY.sites if not site.official}) >= 8
    assert {site.format for site in DAY.sites} == set(Format)
    assert [site.name for site in DAY.sites if site.official] == ["云溪县公告栏"]


def test_ordinary_news_surrounds_the_story() -> None:
    assert sum(post.part is Part.NEWS and post.at >= DAY.opens for post in DAY.posts) >= 30
    assert all(any(post.site == site.id and post.at < DAY.opens for post in DAY.posts) for site in DAY.sites)


@pytest.mark.parametrize(("level", "window"), [(0, HOUR), (1, 2 * HOUR), (2, 3 * HOUR)])
def test_the_rumour_reaches_each_level_in_turn(level: int, window: int) -> None:
    ladder = read_book(FOLDER / "rules").levels.ladder
    (need,) = ladder[level].enter
    assert need.window == window
    reached = [post.at for post in rumours()
               if within({Part.RUMOUR}, post.at, window) >= (need.items, 0)
               and within({Part.RUMOUR}, post.at, window)[1] >= need.sources]
    assert reached, f"never {need.items} items of {need.sources} sources"
    if level:
        (before,) = ladder[level - 1].enter
        first = next(post.at for post in rumours()
                     if within({Part.RUMOUR}, post.at, before.window) >= (before.items, 0))
        assert reached[0] - first >= 45 * MINUTE, "levels follow each other too quickly to be watched"


def test_the_correction_comes_after_the_peak_and_names_the_right_hours() -> None:
    correction = DAY.first(Part.CORRECTION)
    assert correction.site == DAY.official().id
    assert "7:00 至 20:00" in correction.text
    assert correction.at > max(post.at for post in rumours())
    assert min(post.at for post in DAY.posts if post.part is Part.ECHO) > correction.at


@pytest.mark.parametrize("site", DAY.sites, ids=lambda site: site.id)
def test_every_site_serves_what_the_collector_reads_whole(site: Site) -> None:
    items = served(site, DAY.closes)
    shown = {post.title: post for post in DAY.visible(site.id, DAY.closes)}
    assert {item.title for item in items} == shown.keys()
    for item in items:
        assert item.published_at == shown[item.title].published
        assert item.text == mask(shown[item.title].text)


def test_no_author_and_no_telephone_number_survives_collection() -> None:
    texts = "\n".join(f"{item.title}{item.text}{item.url}" for item in collected())
    assert DAY.nickname not in texts
    assert "13000000000" not in texts


def test_an_edit_is_a_new_revision_of_the_same_item() -> None:
    edit = next(post for post in DAY.posts if post.at != post.published)
    site = next(site for site in DAY.sites if site.id == edit.site)
    before = {item.id: item for item in served(site, edit.at - MINUTE)}
    after = {item.id: item for item in served(site, edit.at)}
    changed = [item for item in after.values() if item.id in before and before[item.id].revision != item.revision]
    assert [item.title for item in changed] == [edit.title]


def test_the_whole_rumour_is_one_event_that_climbs_every_level_and_calms(book: RuleBook) -> None:
    heads, newest = tracked(book)
    raised = {head.id for head in newest.values() if head.peak}
    assert len(raised) == 1, [head.title for head in newest.values() if head.peak]
    event = newest[raised.pop()]
    assert event.subject == SUBJECT
    assert event.peak == 3
    assert event.status is EventStatus.CALM
    levels = [head.level for head in heads if head.id == event.id]
    steps = [level for level, before in zip(levels, [0, *levels], strict=False) if level != before]
    assert steps == [1, 2, 3, 2, 1, 0]
    assert event.items == sum(post.part in {Part.RUMOUR, Part.CORRECTION, Part.ECHO} and post.at == post.published
                              for post in DAY.posts)


@pytest.mark.parametrize("seed", range(12))
def test_in_any_order_the_day_has_the_same_events_and_highest_levels(seed: int, scored: list[ScoredBatch]) -> None:
    shuffled = scored[:]
    random.Random(seed).shuffle(shuffled)
    assert events_of(shuffled) == events_of(scored)


def events_of(batches: list[ScoredBatch]) -> set[tuple[frozenset[str], int]]:
    """(members, highest level) of every event of several items."""
    tracker, peaks, members = Tracker(0, 4), dict[str, int](), dict[str, set[str]]()
    for batch in batches:
        for head in tracker.handle(batch, BOOK).heads:
            peaks[head.id] = head.peak
            members.setdefault(head.id, set()).update(row.item_id for row in head.joined)
    return {(frozenset(members[event]), peak) for event, peak in peaks.items()}


def test_the_correction_is_attached_to_the_event_before_it_falls(book: RuleBook) -> None:
    heads, _ = tracked(book)
    title = DAY.first(Part.CORRECTION).title
    attached = next(head for head in heads if any(one.title == title and one.official for one in head.statements))
    assert attached.subject == SUBJECT
    assert attached.level == 3
    fell = next(head for head in heads if head.decision.why is Why.LOWERED)
    assert attached.changed_at < fell.changed_at


def test_ordinary_news_matches_no_watch_subject(book: RuleBook) -> None:
    scorer = Scorer(book)
    news = {post.title for post in DAY.posts if post.part is Part.NEWS}
    matched = {item.title: list(scorer.score(item)) for item in collected()
               if item.title in news and "*" not in scorer.score(item)}
    assert matched == {}


def test_the_shipped_levels_are_the_ones_the_demo_shows() -> None:
    shipped = read_book(Path(__file__).parent.parent.parent / "rules").levels.ladder
    shown = read_book(FOLDER / "rules").levels.ladder
    assert [(level.name, level.enter, level.leave_ratio, level.hold) for level in shown] == [
        (level.name, level.enter, level.leave_ratio, level.hold) for level in shipped]


def test_sources_name_their_publisher_and_the_notice_board_is_official() -> None:
    rules = {str(rule["id"]): rule for rule in source_rules(DAY, PORTS, 4)}
    assert rules["notice"]["official"] is True
    assert rules["forum"]["url"] == f"{base_url(PORTS['forum'])}/forum.php?mod=rss"
    assert len({rule["origin"] for rule in rules.values()}) == len(DAY.sites)


def test_secrets_are_files_and_not_in_the_rules(tmp_path: Path) -> None:
    write_rules(tmp_path / "rules", DAY, PORTS, 40_100, "a-very-secret-key", 4)
    written = "".join(path.read_text("utf-8") for path in (tmp_path / "rules").rglob("*.yml"))
    assert "a-very-secret-key" not in written
    assert (tmp_path / "rules" / "secrets" / "signing.key").read_text("utf-8").strip() == "a-very-secret-key"


@pytest.mark.parametrize(
    "text", ["day: 2026-10-17", "[]", "day: x\nopens: a\ncloses: b\nnickname: n\nsites: []\nposts: []"])
def test_a_wrong_scenario_is_named_with_its_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "scenario.yml"
    path.write_text(text, "utf-8")
    with pytest.raises(SettingsError, match="scenario.yml"):
        load(path)


def test_a_missing_scenario_says_that_the_demo_needs_a_clone(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="clone"):
        load(tmp_path / "scenario.yml")


def test_what_is_visible_grows_with_the_day() -> None:
    day: Scenario = DAY
    first = day.first(Part.RUMOUR)
    assert first not in day.visible(first.site, first.at - 1)
    assert first == day.visible(first.site, first.at)[0]
