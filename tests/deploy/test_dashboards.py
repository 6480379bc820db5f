"""The dashboards: current, by the linter's rules, each of which is shown to find what breaks it."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from agents.store import views
from deploy.grafana.build.__main__ import FOLDER, boards, main
from pipeline.rulebook.schema import Level
from tests import dashboards, servers
from tests.dashboards import JSON

BOARDS = {board.uid: board for board in boards()}
WANTED = {"wenxun-duty": "值班总览", "wenxun-event": "事件", "wenxun-pipeline": "管道", "wenxun-sources": "来源",
          "wenxun-rules": "规则与投递"}
PROVISIONING = Path(__file__).parents[2] / "deploy/grafana/provisioning"


def read(uid: str) -> JSON:
    return dict(json.loads((FOLDER / f"{uid}.json").read_text("utf-8")))


def test_the_files_are_what_the_code_makes() -> None:
    """After a change: python -m deploy.grafana.build."""
    assert {path.stem for path in FOLDER.glob("*.json")} == set(WANTED) == set(BOARDS)
    for uid, board in BOARDS.items():
        assert (FOLDER / f"{uid}.json").read_text("utf-8") == board.json(), uid


def test_the_five_boards_have_their_titles() -> None:
    assert {uid: read(uid)["title"] for uid in WANTED} == WANTED


def test_another_desk_can_be_written_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["build", "--desk", "https://desk.example/", "--out", str(tmp_path)])
    main()
    for path in tmp_path.glob("*.json"):
        found = dashboards.variables(json.loads(path.read_text("utf-8")))
        assert "desk" not in found or found["desk"]["query"] == "https://desk.example"
    assert len(list(tmp_path.glob("*.json"))) == len(WANTED)


@pytest.mark.parametrize("uid", WANTED)
@pytest.mark.parametrize("rule", dashboards.RULES, ids=lambda rule: str(rule.__name__))
def test_every_board_keeps_every_rule(rule: dashboards.Rule, uid: str) -> None:
    assert list(rule(read(uid))) == []


# ---------------------------------------------------------------- each rule finds what breaks it


def _first(board: JSON, uid: str) -> JSON:
    return next(panel for panel in dashboards.panels(board) if panel["datasource"]["uid"] == uid)


def _target(board: JSON, **changes: Any) -> None:
    uid = dashboards.PROMETHEUS if "expr" in changes else dashboards.POSTGRES
    _first(board, uid)["targets"][0].update(changes)


def _variable(board: JSON, name: str, **changes: Any) -> None:
    dashboards.variables(board)[name].update(changes)


def _expr(text: str) -> Callable[[JSON], None]:
    return lambda board: _target(board, expr=text, legendFormat="")


def _sql(text: str) -> Callable[[JSON], None]:
    return lambda board: _target(board, rawSql=text)


_SAFE = 'job=~"$job",instance=~"$instance"'
BREAKS: dict[str, tuple[Callable[[JSON], None], ...]] = {
    "uids": (lambda board: _first(board, dashboards.PROMETHEUS).update(datasource={"uid": "other"}),
             lambda board: _first(board, dashboards.POSTGRES)["targets"][0].pop("datasource")),
    "job_and_instance": (lambda board: board["templating"]["list"].remove(dashboards.variables(board)["job"]),
                         lambda board: _variable(board, "instance", multi=False),
                         lambda board: _variable(board, "job", datasource={"uid": dashboards.POSTGRES})),
    "label_values": (lambda board: _variable(board, "job", query={"query": "up"}),),
    "reloads": (lambda board: _variable(board, "instance", refresh=1),),
    "titled": (lambda board: _first(board, dashboards.POSTGRES).update(description=""),
               lambda board: _first(board, dashboards.POSTGRES).update(title="Events"),
               lambda board: board["panels"].append(copy.deepcopy(_first(board, dashboards.POSTGRES)))),
    "units": (lambda board: _first(board, dashboards.POSTGRES)["fieldConfig"]["defaults"].pop("unit"),),
    "empties": (lambda board: _first(board, dashboards.POSTGRES)["fieldConfig"]["defaults"].update(noValue="-"),),
    "asked": (lambda board: _first(board, dashboards.POSTGRES).update(targets=[]),
              lambda board: _first(board, dashboards.POSTGRES)["targets"].append(
                  _first(board, dashboards.POSTGRES)["targets"][0])),
    "metric_names": (_expr(f"sum(wenxun_no_such{{{_SAFE}}})"), _expr("time()"),
                     _expr(f'sum(wenxun_sources{{{_SAFE},colour="red"}})'),
                     _expr(f"sum by (colour) (wenxun_sources{{{_SAFE}}})")),
    "rate_intervals": (_expr(f"sum(rate(wenxun_records_total{{{_SAFE}}}[5m]))"),
                       _expr(f"changes(process_start_time_seconds{{{_SAFE}}}[$__range])")),
    "targets": (_expr('sum(wenxun_sources{job=~"$job"})'), _expr("sum(wenxun_sources)"),
                _expr('sum(wenxun_sources{job="wenxun",instance=~"$instance"})')),
    "counters_aggregated": (_expr(f"sum(wenxun_records_total{{{_SAFE}}})"),
                            _expr(f"max_over_time(wenxun_records_total{{{_SAFE}}}[$__rate_interval])")),
    "uneditable": (lambda board: board.update(editable=True),),
    "plain": (lambda board: board.update(uid="abc"), lambda board: board.update(id=7),
              lambda board: board.update(version=2), lambda board: board.update(tags=[])),
    "placed": (lambda board: board["panels"][2]["gridPos"].update(board["panels"][1]["gridPos"]),
               lambda board: board["panels"][-1]["gridPos"].update(x=20, w=8),
               lambda board: board["panels"][1].update(id=board["panels"][2]["id"])),
    "only_views": (_sql("SELECT title FROM events"),
                   _sql("SELECT 1 FROM grafana_events e JOIN LATERAL items i ON true"),
                   _sql("DELETE FROM grafana_events"), _sql("SELECT 1; SELECT 2")),
    "live_unless_asked": (_sql("SELECT count(*) FROM grafana_matches WHERE first_seen_ms > $__from"),
                          lambda board: _variable(board, "kind", multi=True)),
    "by_index": (_sql("SELECT 1 FROM grafana_events WHERE opened_time > now()"),
                 _sql("SELECT 1 FROM grafana_events WHERE $__timeFilter(opened_time)")),
    "named_variables": (_sql("SELECT 1 FROM grafana_events WHERE id = ${nobody:sqlstring}"),),
    "no_made_up_zero": (_expr(f"sum(wenxun_sources{{{_SAFE}}}) or vector(0)"),
                        _expr(f"sum(wenxun_sources{{{_SAFE}}}) or on() vector(0)")),
}


@pytest.mark.parametrize(("rule", "place"), [
    (rule, place) for rule in dashboards.RULES for place in range(len(BREAKS[rule.__name__]))],
    ids=lambda value: getattr(value, "__name__", str(value)))
def test_every_rule_finds_what_breaks_it(rule: dashboards.Rule, place: int) -> None:
    board = read("wenxun-duty")
    BREAKS[rule.__name__][place](board)
    assert list(rule(board)), rule.__name__


def test_selectors_are_read_out_of_expressions() -> None:
    found = dashboards.selectors(
        'sum by (le, stage) (rate(a_bucket{job=~"$job",x="{y}"}[$__rate_interval])) / on (le) group_left () b '
        'and time() - max(c{d!~"e|f"} offset 5m) > 1e3')
    assert [(each.name, each.labels, each.range, each.wrapped) for each in found] == [
        ("a_bucket", {"job": "$job", "x": "{y}"}, "$__rate_interval", ("rate", "sum")),
        ("b", {}, "", ()), ("c", {"d": "e|f"}, "", ("max",))]


# ---------------------------------------------------------------- what no linter asks


@pytest.mark.parametrize("uid", WANTED)
def test_every_expression_is_promql(uid: str, tmp_path: Path) -> None:
    promtool = servers.program("promtool", "promtool")
    rules = [{"record": f"x:{place}", "expr": re.sub(r"\$__(?:rate_)?interval", "5m", query.text)}
             for place, query in enumerate(dashboards.expressions(read(uid)))]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "x", "rules": rules}]}), "utf-8")
    done = subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not rules or f"{len(rules)} rules found" in done.stdout


def test_no_level_is_named_by_the_dashboards() -> None:
    """Its names and colours are data: a site may have four levels, or other words."""
    for uid in WANTED:
        for query in dashboards.queries(read(uid)):
            for name in ("一般", "较大", "重大"):
                assert name not in query.text and name not in json.dumps(query.panel.get("fieldConfig", {}),
                                                                         ensure_ascii=False)
    ladder = views.definitions("postgresql")["grafana_ladder"]
    assert Level.__struct_defaults__[list(Level.__struct_fields__).index("color") - len(Level.__struct_fields__)] \
        == "#888888" and "#888888" in ladder


def test_colours_of_levels_come_from_the_rule_book() -> None:
    """By one transformation a panel: Grafana drops the frame that it read the colours from."""
    coloured = [panel for uid in WANTED for panel in dashboards.panels(read(uid)) if panel.get("transformations")]
    assert len(coloured) >= 5
    for panel in coloured:
        [change] = panel["transformations"]
        ladder = [target["rawSql"] for target in panel["targets"] if "grafana_ladder" in target["rawSql"]
                  and "color" in target["rawSql"]]
        assert len(ladder) == 1, panel["title"]
        if change["id"] == "configFromData":
            assert change["options"]["configRefId"] in {target["refId"] for target in panel["targets"]}
            columns = re.compile(change["options"]["applyTo"]["options"].strip("/"))
            assert any(columns.match(name) for name in re.findall(r'AS "([^"]+)"', panel["targets"][0]["rawSql"]))
        assert {each["handlerKey"] for each in change["options"]["mappings"]} & {"color", "mappings.color"}


def test_tables_of_events_lead_to_the_desk() -> None:
    for uid in ("wenxun-duty", "wenxun-event"):
        links = [link["url"] for panel in dashboards.panels(read(uid)) for override in
                 panel["fieldConfig"]["overrides"] if override["matcher"]["options"] == "编号"
                 for setting in override["properties"] if setting["id"] == "links" for link in setting["value"]]
        assert "${desk}/events/${__value.raw}" in links
        assert dashboards.variables(read(uid))["desk"]["type"] == "constant"


def test_empty_lists_of_events_stand_beside_what_tells_whether_anything_is_heard() -> None:
    board = read("wenxun-duty")
    told = {panel["title"] for panel in dashboards.panels(board)}
    empty = [panel for panel in dashboards.panels(board) if "无事件" in panel["fieldConfig"]["defaults"]["noValue"]]
    assert len(empty) >= 3 and {"数据新鲜度", "失联来源", "全链心跳"} <= told
    assert all("新鲜度" in panel["fieldConfig"]["defaults"]["noValue"] for panel in empty)


# ---------------------------------------------------------------- provisioning

_TEXT, _FLAG = {"type": "string", "minLength": 1}, {"type": "boolean"}
_VERSION = {"const": 1}
SOURCES = {
    "type": "object", "additionalProperties": False, "required": ["apiVersion", "datasources"],
    "properties": {"apiVersion": _VERSION, "prune": _FLAG, "deleteDatasources": {"type": "array"}, "datasources": {
        "type": "array", "minItems": 1, "items": {
            "type": "object", "additionalProperties": False, "required": ["name", "uid", "type", "access", "url"],
            "properties": {
                "name": _TEXT, "uid": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,40}$"}, "type": _TEXT,
                "access": {"enum": ["proxy", "direct"]}, "url": _TEXT, "user": _TEXT, "orgId": {"type": "integer"},
                "isDefault": _FLAG, "editable": _FLAG, "version": {"type": "integer"}, "database": _TEXT,
                "jsonData": {"type": "object"}, "secureJsonData": {"type": "object"}, "basicAuth": _FLAG,
                "withCredentials": _FLAG, "readOnly": _FLAG}}}}}
PROVIDERS = {
    "type": "object", "additionalProperties": False, "required": ["apiVersion", "providers"],
    "properties": {"apiVersion": _VERSION, "providers": {"type": "array", "minItems": 1, "items": {
        "type": "object", "additionalProperties": False, "required": ["name", "type", "options"],
        "properties": {
            "name": _TEXT, "type": {"const": "file"}, "orgId": {"type": "integer"}, "folder": {"type": "string"},
            "folderUid": {"type": "string"}, "disableDeletion": _FLAG, "allowUiUpdates": {"const": False},
            "updateIntervalSeconds": {"type": "integer", "minimum": 3}, "editable": _FLAG,
            "options": {"type": "object", "additionalProperties": False, "required": ["path"], "properties": {
                "path": _TEXT, "foldersFromFilesStructure": _FLAG}}}}}}}


def _provisioned(kind: str) -> JSON:
    return dict(yaml.safe_load((PROVISIONING / kind / "wenxun.yml").read_text("utf-8")))


@pytest.mark.parametrize(("kind", "schema"), [("datasources", SOURCES), ("dashboards", PROVIDERS)])
def test_provisioning_files_are_as_grafana_documents_them(kind: str, schema: JSON) -> None:
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(_provisioned(kind), schema)
    for broken in ({}, {**_provisioned(kind), "more": 1}, {**_provisioned(kind), "apiVersion": 2}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema)


def test_the_uids_of_the_boards_are_those_of_the_provisioned_sources() -> None:
    have = {each["uid"] for each in _provisioned("datasources")["datasources"]}
    assert have == {dashboards.PROMETHEUS, dashboards.POSTGRES}
    assert {query.uid for uid in WANTED for query in dashboards.queries(read(uid))} <= have


def test_what_grafana_may_edit_or_delete_is_nothing() -> None:
    [provider] = _provisioned("dashboards")["providers"]
    assert provider["allowUiUpdates"] is False and provider["disableDeletion"] is True
    assert all(each["editable"] is False for each in _provisioned("datasources")["datasources"])


def test_an_empty_panel_names_what_would_fill_it() -> None:
    faults = {panel.failure for board in BOARDS.values() for panel in board.panels() if panel.failure}
    assert {"dead_letter", "role_down", "bad_source", "broken_channel"} <= faults
