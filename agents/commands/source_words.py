"""What `wenxun sources` prints: a checkup, and how sources are, as lines for people and as JSON for scripts."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from pipeline.collect.health import length

if TYPE_CHECKING:
    from agents.feeds.checkup import Candidate, Checkup
    from pipeline.collect.health import Health
    from pipeline.model import Counts, Millis, RawItem, SourceState
    from pipeline.rulebook.schema import Source

TEXT = 80
"""Characters of an item's text that are shown."""


def moment(at: Millis | None, zone: ZoneInfo) -> str:
    return "—" if at is None else datetime.fromtimestamp(at / 1000, zone).strftime("%Y-%m-%d %H:%M")


def checkup_lines(seen: Checkup, zone: ZoneInfo) -> list[str]:
    """A checkup for people, the verdict first."""
    lines = [f"{'✓' if seen.ok else '✗'} {seen.url}" + ("" if seen.ok else f"：{seen.error}")]
    if seen.ok:
        lines += [f"  类型    {seen.kind}" + (f"，《{seen.title}》" if seen.title else ""), *_document(seen, zone)]
    lines += _requests(seen)
    for each in seen.candidates:
        lines.append(f"  {'✓' if each.ok else '✗'} {each.url}（{each.why}）：{_candidate(each, zone)}")
    for item in seen.items:
        lines += _item(item, zone)
    return lines + [f"  → {each}" for each in seen.advice]


def _document(seen: Checkup, zone: ZoneInfo) -> list[str]:
    dates = seen.dates
    odd = "".join([f"，{dates.undated} 条没有时间" if dates.undated else "",
                   f"，{dates.future} 条在将来" if dates.future else ""])
    lines = [f"  编码    {seen.charset.name}（{seen.charset.found}）"] if seen.charset.name else []
    if dates.readable:
        span = f"{moment(dates.oldest, zone)} 至 {moment(dates.newest, zone)}"
        lines.append(f"  时间    {dates.readable} 条可读{odd}；{span}")
    elif dates.undated:
        lines.append("  时间    都没有可读的时间")
    return [*lines, f"  条目    {seen.entries} 条" + (f"，另有 {seen.skipped} 条没有内容" if seen.skipped else "")]


def _requests(seen: Checkup) -> list[str]:
    lines = [f"  跳转    {status} → {url}" for status, url in seen.redirects]
    if seen.robots.allowed is not None:
        said = "允许" if seen.robots.allowed else "不允许" + ("" if seen.robots.heeded else "（来源设为不看）")
        lines.append(f"  robots  {said}" + (f"，两次之间隔 {seen.robots.delay:g} 秒" if seen.robots.delay else ""))
    if seen.ok and seen.status:
        known = [name for name, value in (("ETag", seen.validators.etag),
                                          ("Last-Modified", seen.validators.last_modified)) if value]
        works = {304: "，没有变化时答 304", 0: ""}.get(seen.validators.answered, "，但再问时仍给整份")
        lines.append(f"  校验    {'、'.join(known) + works if known else '没有，每次都读整份'}")
        asked = [f"{name}{length(value)}" for name, value in (("ttl", seen.ttl), ("max-age", seen.max_age)) if value]
        lines += [f"  要求    {'，'.join(asked)}"] if asked else []
    if seen.status:
        lines.append(f"  应答    {seen.status}，{seen.size} 字节，{seen.took} 毫秒")
    return lines


def _candidate(each: Candidate, zone: ZoneInfo) -> str:
    if not each.ok:
        return each.error
    title = f"，《{each.title}》" if each.title else ""
    return f"{each.kind}{title}，{each.entries} 条，最新 {moment(each.newest, zone)}"


def _item(item: RawItem, zone: ZoneInfo) -> list[str]:
    lines = [f"  · {moment(item.published_at, zone)}  {item.title}"]
    text = item.text.replace("\n", " ")
    lines += [f"      {text[:TEXT]}{'…' if len(text) > TEXT else ''}"] if text else []
    said = counts_words(item.counts)
    return [*lines, *([f"      {item.url}"] if item.url else []), *([f"      {said}"] if said else [])]


def counts_words(counts: Counts | None) -> str:
    """`12 评论，3 点赞`; empty when the feed does not say."""
    if counts is None:
        return ""
    named = (("评论", counts.comments), ("转发", counts.forwards), ("点赞", counts.likes), ("阅读", counts.views))
    return "，".join(f"{value} {name}" for name, value in named if value is not None)


# ---------------------------------------------------------------- JSON


def checkup_json(seen: Checkup) -> dict[str, Any]:
    """A checkup for scripts; times are epoch milliseconds."""
    from dataclasses import asdict

    plain = asdict(seen)
    plain.update(
        ok=seen.ok, outcome=str(seen.outcome), advice=list(seen.advice), moved_to=seen.moved_to,
        redirects=[{"status": status, "url": url} for status, url in seen.redirects],
        items=[_item_json(each) for each in seen.items],
        candidates=[{**asdict(each), "ok": each.ok} for each in seen.candidates])
    return plain


def _item_json(item: RawItem) -> dict[str, Any]:
    counts = item.counts
    return {"title": item.title, "text": item.text, "url": item.url, "published_at": item.published_at,
            "counts": None if counts is None else {
                name: getattr(counts, name) for name in ("comments", "forwards", "likes", "views")}}


def source_json(source: Source, state: SourceState | None, health: Health | None) -> dict[str, Any]:
    """A source for scripts; without `health` nothing is known of its polls."""
    plain: dict[str, Any] = {"id": source.id, "name": source.name, "url": source.route or source.url,
                             "kind": str(source.kind), "group": source.group, "enabled": source.enabled}
    if health is not None:
        plain.update(
            state=str(health.state), since=health.since, why=health.why, advice=health.advice, rhythm=health.rhythm,
            polled_at=state.polled_at if state else None, succeeded_at=state.succeeded_at if state else None,
            new_item_at=state.new_item_at if state else None, failures=state.failures if state else 0)
    return plain


def source_line(source: Source, state: SourceState | None, health: Health | None, zone: ZoneInfo) -> str:
    """A source for people: id, name, state, last success, last new item, rhythm, what is wrong; tabs between."""
    columns = [source.id, source.name]
    if health is None:
        columns.append("" if source.enabled else "暂停")
        return "\t".join([*columns, source.route or source.url])
    told = not health.heard or health.advice
    wrong = "。".join(each for each in (health.why, health.advice) if each) if told else ""
    return "\t".join([
        *columns, health.word, f"成功 {moment(state.succeeded_at if state else None, zone)}",
        f"新内容 {moment(state.new_item_at if state else None, zone)}", health.rhythm or "节奏未知", wrong]).rstrip()
