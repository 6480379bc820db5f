"""The same job as one would first write it: a stock Faust agent, one item per record, jieba and SnowNLP.

python -m bench.reference BOOTSTRAP TOPIC COUNT   prints items/s between its first and its last item, then ends
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time


def main(bootstrap: str, topic: str, count: int) -> None:
    import faust
    import jieba
    from snownlp import SnowNLP

    app = faust.App("bench-reference", broker=f"kafka://{bootstrap}", store="memory://", topic_partitions=4,
                    topic_replication_factor=1, web_enabled=False,
                    datadir=tempfile.mkdtemp(prefix="wenxun-bench-"))
    source, sink = app.topic(topic, value_serializer="json"), app.topic(f"{topic}-scored", value_serializer="json")
    counts = app.Table("counts", default=int, partitions=4)
    words = {"投票", "投票站", "截止", "排队", "选民证"}
    seen = {"n": 0, "at": 0.0}
    jieba.initialize()
    SnowNLP("预热一下").sentiments  # noqa: B018

    @app.agent(source)
    async def score(stream):
        async for item in stream:
            if not seen["n"]:
                seen["at"] = time.perf_counter()
            found = words.intersection(jieba.lcut(item["text"]))
            item["words"], item["sentiment"] = sorted(found), SnowNLP(item["text"]).sentiments
            for word in found:
                counts[word] += 1
            await sink.send(key=item["id"], value=item)
            seen["n"] += 1
            if seen["n"] == count:
                rate = (count - 1) / (time.perf_counter() - seen["at"])
                os.write(1, f"\n{json.dumps({'rate': rate})}\n".encode())       # Faust takes stdout over
                os._exit(0)

    sys.argv = ["reference", "worker", "-l", "error", "--without-web"]
    app.main()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
