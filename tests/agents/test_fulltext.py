"""Full text of linked pages: from real pages on loopback sites, through the parse worker, into the items."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agents.collector import fulltext
from pipeline.collect.fulltext import article
from pipeline.model import RawItem
from tests.agents.test_collector import RSS, Rig, collecting, source
from tests.feed_servers import Answer, Site, drip, reply, site
from tests.feed_texts import entry, rss

HTML = "Content-Type: text/html; charset=utf-8"
LONG = "因校舍检修，原定在第三小学的投票站改到县文化馆一楼大厅，投票时间不变，请选民相互转告，带好选民证。"


def page(*paragraphs: str, charset: str = "") -> str:
    meta = f'<meta charset="{charset}">' if charset else ""
    return f"""<!DOCTYPE html><html><head>{meta}<title>青山县新闻网</title><meta name="author" content="李四">
</head><body><nav><a href="/">首页</a> <a href="/a">要闻</a></nav><article><h1>三号投票站改到文化馆</h1>
<p>本报记者 李四</p>{"".join(f"<p>{each}</p>" for each in paragraphs)}</article>
<div id="comments" class="comments"><p>网友甲：太远了吧，谁去得了</p></div>
<footer>版权所有 青山县</footer></body></html>"""


ARTICLE = page(*(f"{LONG}（第{n}点）" for n in range(6)), "咨询电话 13800138000，值班人员会答复大家关心的问题。")


def feed(here_url: str, *names: str, text: str = "摘要") -> bytes:
    entries = [entry(n, f"题{name}", f"{text}{name}").replace(f"http://news.example/{n}", f"{here_url}/{name}")
               for n, name in enumerate(names)]
    return reply(200, rss(*entries).encode(), RSS)


async def collected(here: Site, *names: str, text: str = "摘要", **changes: Any) -> tuple[dict[str, RawItem], Rig]:
    """The items of a feed with these pages, by title."""
    here.answers["/feed"] = [feed(here.url(""), *names, text=text)]
    async with collecting(source(here, **{"full_text": True, **changes}), allow=here.allow) as rig:
        await rig.until(rig.bus.states)
    assert rig.bus.states()[0].outcome == "ok"
    return {item.title: item for item in rig.bus.items()}, rig


async def test_an_item_gets_the_article_of_its_page_and_keeps_its_name_and_revision() -> None:
    async with site(a=reply(200, ARTICLE.encode(), HTML)) as here:
        full, rig = await collected(here, "a")
        plain, _ = await collected(here, "a", full_text=False)
    item, summary = full["题a"], plain["题a"]
    assert LONG in item.text and item.text.count("\n") >= 5 and summary.text == "摘要a"
    assert (item.id, item.revision) == (summary.id, summary.revision)
    assert "13800138000" not in item.text and "李四" not in item.text, "personal data and authors stay out"
    assert "网友甲" not in item.text and "版权" not in item.text and "首页" not in item.text
    assert rig.metric("feed_pages_total", outcome="article") == 1


@pytest.mark.parametrize(("body", "header"), [
    (page(*[LONG] * 6, charset="gb2312").encode("gb18030"), "Content-Type: text/html"),
    (page(*[LONG] * 6).encode("gb18030"), "Content-Type: text/html; charset=gbk"),
    (page(*[LONG] * 6, charset="gbk").encode(), HTML),
], ids=["meta", "header", "wrong-meta"])
async def test_the_charset_is_found_as_in_feeds(body: bytes, header: str) -> None:
    async with site(a=reply(200, body, header)) as here:
        items, _ = await collected(here, "a")
    assert LONG in items["题a"].text


@pytest.mark.parametrize(("answer", "outcome"), [
    (reply(404), "failed"), (reply(500), "failed"), (b"junk\r\n", "failed"),
    (reply(200, b"%PDF-1.4", "Content-Type: application/pdf"), "not_html"),
    (reply(200, ARTICLE.encode()), "not_html"), (reply(200, b"", HTML), "summary"),
    (reply(200, b"<html>" + b"<div>" * 50_000, HTML), "summary"),
    (reply(200, b"", HTML, "Content-Length: 3000000", length=False), "failed"),
    (reply(302, b"", "Location: http://169.254.169.254/"), "failed"),
    (reply(200, page("短").encode(), HTML), "summary"),
    (reply(429, b"", "Retry-After: 60"), "held"),
], ids=["404", "500", "junk", "pdf", "untyped", "empty", "deep", "huge", "private", "short", "429"])
async def test_a_page_that_cannot_be_had_costs_the_article_only(answer: Answer, outcome: str) -> None:
    async with site(a=answer) as here:
        items, rig = await collected(here, "a", text="这里的摘要说得比网页还多一些，")
    assert items["题a"].text == "这里的摘要说得比网页还多一些，a"
    assert rig.metric("feed_pages_total", outcome=outcome) == 1


async def test_robots_txt_holds_for_pages_whatever_the_source_says() -> None:
    rules = reply(200, b"User-agent: *\nDisallow: /a")
    async with site(robots=rules, a=reply(200, ARTICLE.encode(), HTML), b=reply(200, ARTICLE.encode(), HTML)) as here:
        items, rig = await collected(here, "a", "b", respect_robots=False)
    assert items["题a"].text == "摘要a" and LONG in items["题b"].text
    assert rig.metric("feed_pages_total", outcome="robots") == 1 and "/a" not in {asked.path for asked in here.asked}


async def test_twenty_pages_at_most_the_newest_and_one_at_a_time() -> None:
    names = [f"p{n}" for n in range(25)]
    async with site(**{name: reply(200, ARTICLE.encode(), HTML) for name in names}) as here:
        items, rig = await collected(here, *names)
    assert sum(LONG in item.text for item in items.values()) == 20 and len(items) == 25
    assert LONG in items["题p0"].text and items["题p24"].text == "摘要p24", "documents begin with the newest"
    assert here.busiest == 1 and rig.metric("feed_pages_total", outcome="left") == 5


async def test_a_slow_site_does_not_hold_the_items_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    article(ARTICLE.encode(), "")                       # what is loaded late takes none of the five seconds
    original = fulltext.FullText.__init__
    monkeypatch.setattr(fulltext.FullText, "__init__", lambda *args: original(*args, seconds=20.0, page_seconds=0.2))
    slow = drip(reply(200, b"", HTML, length=False), b" ", 0.02)
    async with site(**{f"p{n}": slow for n in range(9)}) as here:
        items, rig = await collected(here, *(f"p{n}" for n in range(9)))
    assert len(items) == 9 and all(item.text.startswith("摘要") for item in items.values())
    assert len(here.asked) == 1 + fulltext.GIVE_UP, "three failures in a row are enough"
    assert rig.metric("feed_pages_total", outcome="left") == 6


async def test_what_was_filled_before_the_time_was_up_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    article(ARTICLE.encode(), "")                       # what is loaded late takes none of the five seconds
    original = fulltext.FullText.__init__
    monkeypatch.setattr(fulltext.FullText, "__init__", lambda *args: original(*args, seconds=5.0, page_seconds=60.0))
    async with site(a=reply(200, ARTICLE.encode(), HTML), b=never) as here:
        items, _ = await collected(here, "a", "b")
    assert LONG in items["题a"].text and items["题b"].text == "摘要b"


@pytest.mark.parametrize("line", [
    "记者 李四", "本报记者：李四 王五", "（通讯员 李四）", "责任编辑：李四", "作者/李四", "文 | 李四", "By Li Si",
    "全媒体记者 李四", "特约通讯员 李四", "本报记者李四", "记者李四 摄", "来源：县新闻网 作者：李四", "供图：李四",
    "撰稿丨李四", "作者简介：李四，县新闻网记者", f"青山县11月22日讯（记者 李四 通讯员王五）{LONG}"])
def test_lines_that_only_name_who_wrote_are_dropped(line: str) -> None:
    assert "李四" not in (text := article(page(LONG, LONG, line, LONG, LONG, LONG).encode(), "")) and LONG in text
    assert "Li Si" not in text


def test_lines_that_say_more_stay() -> None:
    line = "记者从县水利局了解到，今年汛期全县水库运行平稳，各乡镇已完成排查，没有发现新的隐患点位。"
    assert line in article(page(LONG, LONG, line, LONG, LONG).encode(), "")
