"""What must hold inside a subject beyond each field's own kind."""

from __future__ import annotations

from pipeline.rulebook import schema
from pipeline.rulebook.checks import inside
from pipeline.rulebook.objects import Place


def term(value: schema.Term, path: str, place: Place) -> None:
    if not value.text.strip():
        place.problem(inside(path, "text"), "词不能只有空格。", "写一个词，或删去这一项")


def subject(value: schema.Subject, path: str, place: Place) -> None:
    first: dict[str, int] = {}
    for index, each in enumerate(value.terms):
        known = first.setdefault(each.text.lower(), index)
        if known != index:
            place.problem(inside(path, f"terms[{index}]"), f"词“{each.text}”重复，terms[{known}] 已经有了。",
                          "只留一处")
        if each.text in {one.text for one in value.exclude}:
            place.problem(inside(path, f"terms[{index}]"), f"词“{each.text}”也写在 exclude 里，永远不会匹配。",
                          "只留一处")
    total = sum(each.weight for each in value.terms)
    if value.threshold > total + 1e-9:
        place.problem(inside(path, "threshold"), f"高于全部词的权重之和 {total:g}，永远不会匹配。",
                      f"写成 threshold: {total:g} 或更低")
