"""Made items of about 200 characters, the same for every run: local news, and one in five (or `every`) about voting."""

from __future__ import annotations

import random
from collections.abc import Iterator

from pipeline.ids import digest
from pipeline.model import Millis, RawItem

NAMES = "云石柳桥溪松岭湖塘梅竹沙洲口湾坪坡滩渡亭井泉谷峰林杨槐枫荷莲稻麦茶盐铁银铜瓷窑仓庙塔阁坊市街巷门"
ENDS = "社区 镇 村 路 小区 街道 新区 工业园".split()
THINGS = (
    "图书馆 农贸市场 公交首末站 体育公园 幼儿园 卫生院 停车场 文化广场 老旧电梯 "
    "排水管网 养老中心 污水处理厂 健身步道 菜市场 博物馆 汽车站 中学食堂 河堤 路灯 "
    "充电桩 快递驿站 供水管道 垃圾分类点 社区食堂 游泳馆 茶园 粮仓 渡口 古桥 水库 "
    "灯会 庙会 马拉松 招聘会 书市 花展 画展 龙舟赛 篮球赛 广场舞 露天电影 夜市 早市 "
    "旧货摊 修鞋铺 面馆 豆腐坊 酒坊 砖厂 苗圃"
).split()
DOINGS = (
    "开放试运行 完成改造 调整开放时间 举行便民活动 公布收费标准 征求居民意见 "
    "增设无障碍通道 迎来客流高峰 暂停施工 重新开张 更换负责单位 启动维修 延期举办 "
    "提前结束 免费开放一周 上了热搜 引来白鹭 迎来第一批客人 评上先进 换了新招牌"
).split()
VOTING = (
    "有人说投票站下午三点就截止投票", "投票站门口排队排了一个小时", "选民证弄丢了还能不能投票",
    "网传投票地点改到二中体育馆", "投票站几点关门没有人说清楚",
)
TAILS = (
    "工作人员说具体安排以现场公告为准，请大家带好证件，错峰前往。",
    "不少居民表示满意，也有人担心高峰时段人多拥挤，希望多安排几名引导员。",
    "记者在现场看到秩序井然，志愿者在路口指引方向。",
    "如有疑问可以拨打服务热线咨询，热线工作时间为早八点到晚六点。",
    "附近商户反映这几天客流明显增加，停车比较困难。",
    "相关负责人介绍，后续还会根据意见继续改进。",
)


def items(count: int, start: Millis, sources: int, seed: int = 7, apart: Millis = 10,
          every: int = 5) -> Iterator[RawItem]:
    """`count` items over `sources` sources, `apart` ms from each other."""
    chance = random.Random(seed)
    for n in range(count):
        place = "".join(chance.choices(NAMES, k=2)) + chance.choice(ENDS)
        title = f"{place}{chance.choice(THINGS)}{chance.choice(DOINGS)}"
        if n % every == 0:
            title = f"{place}：{chance.choice(VOTING)}"
        text = title + "。" + "".join(chance.sample(TAILS, 4)) + f"本条为第{n}条。"
        yield RawItem(
            id=digest("bench", n), revision=digest(text, size=8), source_id=f"s{n % sources}", title=title, text=text,
            url=f"http://bench.example/{n}", first_seen_at=start + n * apart,
            published_at=start + n * apart)
