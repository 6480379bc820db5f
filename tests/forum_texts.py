"""Answers of forum software and hot lists written for the tests. Every name of a person in them is in PEOPLE."""

from __future__ import annotations

import json

PEOPLE = ("shanliren", "山里人", "王某", "林书记员", "lin@", "/u/", "uid=77", "avatar", "guest-9", "7077")
"""What must reach no item: names, logins, mail, profile links, pictures and user numbers."""

WHO = {"id": 7077, "username": "shanliren", "name": "山里人", "avatar_template": "/avatar/7077.png"}

DISCOURSE_LIST = {"users": [WHO], "topic_list": {"topics": [
    {"id": 7, "title": "东街 <积水> 几天了", "fancy_title": "东街 &lt;积水&gt;", "slug": "topic", "posts_count": 13,
     "reply_count": 4, "views": 380, "like_count": 5, "created_at": "2026-11-22T03:00:00.000Z",
     "excerpt": "路口 &hellip; 过不去", "last_poster_username": "shanliren", "posters": [{"user_id": 7077}]},
    {"id": 8, "title": "公交改线", "slug": "bus", "reply_count": 2, "views": -1, "created_at": 1795312800000}]}}

DISCOURSE_TOPIC = {
    "id": 7, "title": "东街积水", "slug": "topic", "posts_count": 3, "views": 380, "like_count": 9,
    "details": {"created_by": WHO}, "post_stream": {"stream": [1, 2, 3], "posts": [
        {**WHO, "id": 71, "post_number": 1, "post_type": 1, "created_at": "2026-11-22T01:00:00Z", "topic_id": 7,
         "cooked": "<p>路口<strong>过不去</strong>，见<a href=\"/t/topic/7/2\">照片</a></p>", "reads": 20,
         "display_username": "山里人", "actions_summary": [{"id": 2, "count": 4}]},
        {**WHO, "id": 72, "post_number": 2, "post_type": 1, "created_at": "2026-11-22T03:00:00Z", "topic_id": 7,
         "cooked": '<aside class="quote no-group" data-username="shanliren"><div class="title">'
                   '<div class="quote-controls"></div><img src="/avatar/7077.png"> shanliren:</div>'
                   '<blockquote><p>路口过不去</p></blockquote></aside>'
                   '<p>今早还是，<a class="mention" href="/u/shanliren">@shanliren</a></p>',
         "reply_count": 1, "reads": 12, "actions_summary": [{"id": 2, "count": 6}]},
        {**WHO, "id": 73, "post_number": 3, "post_type": 3, "created_at": "2026-11-22T03:30:00Z", "cooked": "",
         "action_code": "closed.enabled"},
        {**WHO, "id": 74, "post_number": 4, "post_type": 1, "created_at": "2026-11-22T03:30:00Z", "cooked": "<p>隐</p>",
         "hidden": True}]}}

DISCOURSE_POSTS = {"latest_posts": [
    {**WHO, "id": 90, "post_number": 5, "topic_id": 7, "topic_slug": "topic", "topic_title": "东街积水",
     "created_at": "2026-11-22T03:00:00Z", "cooked": "<p>水退了</p>", "reply_count": 0}]}

_USER = {"uid": 7077, "username": "shanliren", "picture": "/avatar/7077.png"}
NODEBB_LIST = {"title": "[[recent:title]]", "topics": [
    {"tid": 9, "uid": 7077, "title": "东街积水", "slug": "9/东街积水", "timestampISO": "2026-11-22T03:00:00.000Z",
     "postcount": 4, "viewcount": 65, "upvotes": 3, "votes": 2, "user": _USER, "teaser": {"user": _USER}},
    {"tid": 10, "title": "删掉的", "deleted": True, "timestamp": 1795316400000}]}

NODEBB_TOPIC = {
    "tid": 9, "uid": 7077, "title": "东街积水", "slug": "9/东街积水", "mainPid": 90, "postcount": 2, "viewcount": 65,
    "user": _USER, "posts": [
        {"pid": 90, "uid": 7077, "content": "<p>路口过不去</p>", "timestampISO": "2026-11-22T01:00:00Z", "votes": -1,
         "user": _USER},
        {"pid": 91, "uid": 7077, "content": "<blockquote>路口过不去</blockquote><p>今早还是</p>", "upvotes": 2,
         "timestampISO": "2026-11-22T03:00:00Z", "user": _USER, "replies": {"count": 1, "users": [_USER]}},
        {"pid": 92, "uid": 7077, "content": "<p>删</p>", "deleted": 1, "timestampISO": "2026-11-22T03:10:00Z"}]}

PHPBB = """<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="zh-cn">
<link rel="self" type="application/atom+xml" href="https://bbs.example/feed.php" /><title>青山论坛</title>
<entry><author><name><![CDATA[山里人]]></name></author><updated>2026-11-22T03:00:00+00:00</updated>
<published>2026-11-22T03:00:00+00:00</published><id>https://bbs.example/viewtopic.php?p=31#p31</id>
<link href="https://bbs.example/viewtopic.php?p=31#p31"/>
<title type="html"><![CDATA[县城生活 • Re: 东街积水]]></title>
<category term="县城生活" scheme="https://bbs.example/viewforum.php?f=2" label="县城生活"/>
<content type="html" xml:base="https://bbs.example/viewtopic.php?p=31#p31"><![CDATA[
<blockquote><div><cite>山里人 写:</cite>路口过不去</div></blockquote>\
今早还是，<a href="viewtopic.php?t=3">照片</a><p>统计：发表于 由 \
<a href="https://bbs.example/memberlist.php?mode=viewprofile&amp;u=7077">山里人</a> — 2026年11月22日 11:00\
 — 回复 12 — 查看 1,340</p><hr />
]]></content></entry>
<entry><author><name>guest-9</name></author><updated>2026-11-22T02:00:00+00:00</updated>
<id>https://bbs.example/viewtopic.php?p=30#p30</id><link href="https://bbs.example/viewtopic.php?p=30#p30"/>
<title type="html">公交 • 改线</title>
<content type="html"><![CDATA[几点末班车？\
<p>Statistics: Posted by guest-9 — Sun Nov 22, 2026 10:00 am</p><hr />]]></content></entry>
</feed>"""

DISCUZ = """<rss version="2.0"><channel><title>青山论坛</title><ttl>30</ttl>
<item><title>投票站几点关门？</title><link>http://bbs.example/thread-1-1-1.html</link>
<description><![CDATA[<i class="pstatus"> 本帖最后由 山里人 于 2026-11-22 10:58 编辑 </i>\
有人说<b>下午三点</b>截止]]></description>
<category>县城生活</category><author>山里人</author>
<pubDate>2026年11月22日 上午11:00</pubDate></item></channel></rss>"""

DISCOURSE_RSS = """<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>论坛</title>
<item><title>东街积水</title><dc:creator><![CDATA[@shanliren 山里人]]></dc:creator>
<description><![CDATA[<p>\
<a href="https://x.example/u/shanliren">山里人</a> 写道：</p>
<blockquote>路口过不去</blockquote>]]></description>
<link>https://x.example/t/topic/7</link><pubDate>Sun, 22 Nov 2026 03:00:00 +0000</pubDate>
<guid isPermaLink="false">x.example-post-7-1</guid></item></channel></rss>"""

HOT = {"code": 0, "data": {"updated": "11:00", "list": [
    {"tid": 42, "title": "东街<em>积水</em>", "summary": "路口过不去", "note": None, "created": "2026-11-22 11:00",
     "user": WHO, "stat": {"reply": "1.2k", "hits": "3.5万", "share": "12", "up": -3}},
    {"tid": "a b/?", "title": "公交改线", "created": "昨天 12:30", "user": WHO, "stat": {"reply": "很多"}}]}}


def text(document: object) -> str:
    return json.dumps(document, ensure_ascii=False)


FORUMS = {
    "discourse list": text(DISCOURSE_LIST), "discourse topic": text(DISCOURSE_TOPIC),
    "discourse posts": text(DISCOURSE_POSTS), "discourse rss": DISCOURSE_RSS, "nodebb list": text(NODEBB_LIST),
    "nodebb topic": text(NODEBB_TOPIC), "phpbb": PHPBB, "discuz": DISCUZ,
}
