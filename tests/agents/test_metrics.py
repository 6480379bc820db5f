"""The table of metrics: complete, exposed by whom it says, absent when it says, and few series."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from faust.types import TP
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from sqlalchemy.exc import SQLAlchemyError

from agents import escalator, health, host, tracker
from agents.app import App, create_app
from agents.clock import Clock
from agents.collector.vitals import Vitals
from agents.deps import Deps, RuleStore
from agents.desk.measure import Measure
from agents.latency import Latency
from agents.metrics import EVERY, TABLE, Metric, Metrics
from agents.rule_workers import HEARD_WITHIN, Skew, name_of
from agents.settings import Settings
from agents.store import reachable
from agents.store.engine import open_store
from bench.scrape import cases_of, filled, samples
from pipeline.collect.health import Health, HealthState
from pipeline.model import Escalation, EscalationKind, EventHead, Worker
from pipeline.rulebook.schema import HOUR, MINUTE, ResponseClock
from tests.builders import NOON, book, raw_item
from tests.servers import program

AGENTS = Path(__file__).parents[2] / "agents"
NAMES = {each.name: each for each in TABLE}


def deps_of(*roles: str, now: int = NOON) -> Deps:
    return Deps(Settings(), Clock(now, 0, 0.0), Metrics(roles=roles or EVERY), RuleStore(book()))


def sample(deps: Deps, name: str, **labels: str) -> float | None:
    return deps.metrics.registry.get_sample_value(f"wenxun_{name}", labels)


# ---------------------------------------------------------------- the table and the code


@cache
def uses() -> tuple[tuple[str, str, str, int | None], ...]:
    """(place, metric, what is called of it, how many labels it is given) of every `…metrics["name"]` in agents/."""
    found = []
    for path in sorted(AGENTS.rglob("*.py")):
        if 'metrics["' not in (text := path.read_text("utf-8")):
            continue
        nodes = list(ast.walk(ast.parse(text)))
        called = {id(node.value): node.attr for node in nodes if isinstance(node, ast.Attribute)}
        given = {id(node.func.value): len(node.args) for node in nodes
                 if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "labels"
                 and not any(isinstance(each, ast.Starred) for each in node.args)}
        for node in nodes:
            match node:
                case ast.Subscript(value=ast.Name(id="metrics") | ast.Attribute(attr="metrics" | "_metrics"),
                                   slice=ast.Constant(value=str(name))):
                    place = f"{path.relative_to(AGENTS).as_posix()}:{node.lineno}"
                    found.append((place, name, called.get(id(node), ""), given.get(id(node))))
    return tuple(found)


def test_every_metric_of_the_table_is_set_by_code_and_no_other_is() -> None:
    assert {name for _, name, call, _ in uses() if call not in ("clear", "remove", "drop")} == NAMES.keys()


def test_labels_are_given_as_the_table_says() -> None:
    given = [(place, name, count) for place, name, _, count in uses() if count is not None]
    assert len(given) > 40
    assert [(place, name) for place, name, count in given if count != len(NAMES[name].labels)] == []


@pytest.mark.parametrize("metric", TABLE, ids=lambda each: each.name)
def test_a_metric_says_what_it_is(metric: Metric) -> None:
    assert metric.help.endswith(".") and metric.roles and set(metric.roles) <= set(EVERY)
    assert set(metric.values) <= set(metric.labels)
    assert bool(metric.buckets) == (metric.kind is Histogram) and list(metric.buckets) == sorted(set(metric.buckets))
    assert (metric.kind is Counter) == metric.name.endswith("_total")
    unbounded = {"event", "event_id", "item", "item_id", "url", "title", "keyword", "person", "subject", "alert"}
    assert not unbounded & set(metric.labels)


def test_there_are_three_kinds_and_each_name_is_there_once() -> None:
    assert {each.kind for each in TABLE} == {Counter, Gauge, Histogram} and len(NAMES) == len(TABLE)


# ---------------------------------------------------------------- who exposes what


@pytest.mark.parametrize("role", EVERY)
def test_a_process_exposes_the_metrics_of_its_roles_and_no_others(role: str) -> None:
    exposed = {line.split()[2].removeprefix("wenxun_")
               for line in generate_latest(Metrics(roles=[role]).registry).decode().splitlines()
               if line.startswith("# TYPE wenxun_")}
    assert exposed == {each.name for each in TABLE if role in each.roles}


def test_every_process_says_what_it_uses_and_when_it_started() -> None:
    text = generate_latest(Metrics(roles=["score"]).registry).decode()
    for name in ("process_resident_memory_bytes", "process_start_time_seconds", "process_open_fds",
                 "process_cpu_seconds_total"):
        assert f"\n{name} " in text
    assert "_created" not in text


def test_a_gauge_that_nobody_set_has_no_sample_and_what_is_not_known_any_more_has_none() -> None:
    deps = deps_of()
    assert sample(deps, "unaccounted_alerts") is None
    deps.metrics["unaccounted_alerts"].set(0)
    assert sample(deps, "unaccounted_alerts") == 0
    deps.metrics["unaccounted_alerts"].drop()
    assert sample(deps, "unaccounted_alerts") is None


def test_the_first_failure_after_a_start_is_an_increase() -> None:
    deps = deps_of("score")
    assert sample(deps, "dead_letters_total", role="score", reason="failed") == 0
    assert sample(deps, "agent_errors_total", role="score") == 0
    assert sample(deps, "dead_letters_total", role="track", reason="failed") is None, "another process counts those"


async def test_a_role_is_ready_as_the_probe_says() -> None:
    metrics, state = Metrics(roles=["track", "desk"]), health.Health()
    state.show(metrics)
    ready = metrics.registry.get_sample_value
    assert ready("wenxun_ready", {"role": "track"}) == 0, "it has not begun to start"
    missing = {"track": "tables are being recovered", "rule book": "no rule book yet"}
    state.checks = {"rule book": lambda: missing["rule book"], "track": lambda: missing["track"], "desk": lambda: ""}
    for wanted, text in (((0, 0), ""), ((0, 1), "rule book"), ((1, 1), "track")):
        missing[text] = ""
        state.show(metrics)
        assert (ready("wenxun_ready", {"role": "track"}), ready("wenxun_ready", {"role": "desk"})) == wanted
    async with health.serving(("127.0.0.1", 0), metrics, state):
        assert ready("wenxun_role_info", {"role": "track"}) == ready("wenxun_role_info", {"role": "desk"}) == 1
    assert ready("wenxun_role_info", {"role": "score"}) is None


# ---------------------------------------------------------------- what goes with partitions


@pytest.fixture
async def apps() -> Any:
    made: list[App] = []

    def make(deps: Deps, role: Any) -> App:
        made.append(create_app(deps, role.ROLE))
        role.register(made[-1], deps)
        return made[-1]

    return make


async def test_what_is_said_of_alerts_goes_when_their_partitions_do(apps: Any) -> None:
    deps = deps_of("escalate")
    app = apps(deps, escalator)
    escalator.show(deps, [cases_of(60)])
    assert sample(deps, "alerts", status="acked") == 10
    app.tables["alerts"].facade.rebalanced({0})
    for name in ("alerts", "response_clocks", "response_clock_left_seconds"):
        assert not any(family.samples for family in deps.metrics[name].collect()), name


async def test_what_is_said_of_events_goes_when_their_partitions_do(apps: Any) -> None:
    deps = deps_of("track")
    app = apps(deps, tracker)
    deps.metrics["open_events"].labels("重大").set(2)
    app.tables["events"].facade.rebalanced({0})
    assert sample(deps, "open_events", level="重大") is None


def test_clocks_are_counted_with_the_one_that_is_due_first() -> None:
    deps = deps_of("escalate")
    clock = ResponseClock(id="answer", name="首次权威回应", within=5 * HOUR, start_level="较大")
    deps.rules.offer(book(levels=replace(deps.rules.book.levels, clocks=(clock,))))
    held = cases_of(100)                                # due from 5 hours ago to 4.9 hours from now
    escalator.show(deps, [held])
    assert sample(deps, "response_clocks", clock="answer", state="overdue") == 51
    assert sample(deps, "response_clocks", clock="answer", state="running") == 49
    assert sample(deps, "response_clock_left_seconds", clock="answer") == -5 * HOUR / 1000
    for ident in list(held):
        del held[ident]
    escalator.show(deps, [held])
    assert sample(deps, "response_clocks", clock="answer", state="overdue") == 0
    assert sample(deps, "response_clock_left_seconds", clock="answer") is None


async def test_a_worker_without_partitions_is_not_late_with_its_commits(apps: Any) -> None:
    deps = deps_of("track")
    app = apps(deps, tracker)
    app.sensor.committed(0.1)
    app.sensor.look(app, 2)
    assert sample(deps, "assigned_partitions", role="track") == 2
    assert sample(deps, "table_keys", role="track", table="events") == 0
    assert sample(deps, "last_commit_timestamp_seconds", role="track") is not None
    app.sensor.look(app, 0)
    assert sample(deps, "assigned_partitions", role="track") == 0
    assert sample(deps, "last_commit_timestamp_seconds", role="track") is None


async def test_the_sensor_says_what_faust_does() -> None:
    deps = deps_of("track")
    app = create_app(deps, "track")
    sensors, sensor = app.sensors, app.sensor
    here = TP("items.scored", 0)
    state = sensors.on_stream_event_in(here, 7, None, None)
    assert sample(deps, "stream_events_active", role="track") == 1
    sensors.on_stream_event_out(here, 7, None, None, state)
    sensors.on_stream_event_out(here, 8, None, None, state)         # skipped after a rebalance: the state of before
    assert sample(deps, "stream_events_active", role="track") == 0
    assert sample(deps, "stream_event_seconds_count", role="track") == 1
    turn = sensors.on_rebalance_start(app)
    sensors.on_rebalance_end(app, turn)
    assert sample(deps, "recovery_seconds", role="track") is None, "nothing was assigned"
    turn = sensors.on_rebalance_start(app)
    sensors.on_rebalance_return(app, turn)
    sensors.on_rebalance_end(app, turn)
    assert sample(deps, "recovery_seconds", role="track") >= 0      # type: ignore[operator]
    assert sample(deps, "rebalances_total", role="track") == 2
    loop = asyncio.get_running_loop()
    well, ill, gone = loop.create_future(), loop.create_future(), loop.create_future()
    well.set_result(None)
    ill.set_exception(RuntimeError("refused"))
    gone.cancel()
    for delivery in (well, ill, gone):
        sensor.sent(0.0, delivery)
    assert sample(deps, "produce_seconds_count", role="track") == 1
    assert sample(deps, "produce_errors_total", role="track") == 1


# ---------------------------------------------------------------- how quick we are


def head_of(**changes: Any) -> EventHead:
    case = cases_of(1)["e0"]
    assert case.head is not None
    at = NOON + 5000
    decision = replace(case.head.decision, at=at)
    return replace(case.head, **{"decision": decision, "changed_at": at, "level_since": at, "seen_at": NOON, **changes})


def page_of(**changes: Any) -> Escalation:
    return Escalation(**{"id": "p", "kind": EscalationKind.PAGE, "at": NOON + 5000, "why": "raised", "tell": (),
                         "head": head_of(), **changes})


@pytest.mark.parametrize(("measured", "changes"), [
    (True, {}), (False, {"step": 1}), (False, {"repeat": 1}), (False, {"kind": EscalationKind.CLOCK}),
    (False, {"suppressed_by": "quiet"}), (False, {"at": NOON + 5000 + MINUTE + 1}), (False, {"why": "handed"}),
    (False, {"head": head_of(subject="!polling")}), (False, {"head": head_of(seen_at=0)}), (False, {"head": None}),
], ids=["first", "later", "round", "clock", "quiet", "waited", "handed", "drill", "rules", "headless"])
def test_only_what_no_rule_held_back_is_measured(measured: bool, changes: dict[str, Any]) -> None:
    deps = deps_of(now=NOON + 9000)
    Latency(deps, "deliver").paged(page_of(**changes))
    assert sample(deps, "event_e2e_latency_seconds_count", stage="deliver") == measured
    if measured:
        assert sample(deps, "event_e2e_latency_seconds_sum", stage="deliver") == 9


def test_a_record_is_measured_once_from_its_items_first_sight_unless_they_are_old_or_made_up() -> None:
    deps = deps_of(now=NOON + 2000)
    latency = Latency(deps, "score")
    latency.batch([raw_item(backfill=True, first_seen_at=NOON - HOUR), raw_item(first_seen_at=NOON + 500), raw_item()])
    latency.batch([raw_item(backfill=True)])
    assert sample(deps, "event_e2e_latency_seconds_count", stage="score") == 1
    assert sample(deps, "event_e2e_latency_seconds_sum", stage="score") == 2


# ---------------------------------------------------------------- hosts


def test_a_clock_of_another_host_that_is_ahead_is_seen_here_until_it_is_silent() -> None:
    deps = deps_of("score", "track")
    skew = Skew(deps)

    def heard(name: str, at: int, stopped: bool = False) -> float | None:
        skew.heard({name: Worker(name=name, roles=(), at=at, book="", since=0, stopped=stopped)})
        assert sample(deps, "clock_ahead_seconds", role="score") == sample(deps, "clock_ahead_seconds", role="track")
        return sample(deps, "clock_ahead_seconds", role="score")

    assert heard(name_of(deps.settings), NOON + HOUR) == 0, "our own"
    assert heard("behind:1", NOON - MINUTE) == 0
    assert heard("ahead:1", NOON + 90_000) == 90
    assert heard("ahead:1", NOON + 90_000, stopped=True) == 0
    assert heard("killed:1", NOON + HOUR) == HOUR / 1000
    skew._deps = dataclasses.replace(deps, clock=Clock(NOON + HEARD_WITHIN, 0, 0.0))
    assert heard("behind:1", NOON) == 0, "what it said of the future keeps nobody alive"


def test_memory_is_the_least_of_all_limits_that_hold_here(tmp_path: Path) -> None:
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (cgroups / "a" / "b").mkdir(parents=True)
    assert host.memory_limit(proc, cgroups) is None
    (proc / "meminfo").write_text("MemTotal:       2048 kB\nMemFree: 1 kB\n")
    (proc / "self" / "cgroup").write_text("0::/a/b\n")
    assert host.memory_limit(proc, cgroups) == 2048 * 1024
    (cgroups / "a" / "b" / "memory.max").write_text("max\n")
    (cgroups / "a" / "memory.max").write_text("1000000\n")
    assert host.memory_limit(proc, cgroups) == 1_000_000
    (cgroups / "memory" / "pod").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text("3:cpu:/pod\n7:memory:/pod\n")
    (cgroups / "memory" / "pod" / "memory.limit_in_bytes").write_text("900000\n")
    assert host.memory_limit(proc, cgroups) == 900_000


def test_the_disk_of_a_data_folder_that_is_gone_is_not_known(tmp_path: Path) -> None:
    deps = deps_of()
    host.show_disk(deps.metrics, tmp_path)
    free, size = sample(deps, "data_disk_free_bytes"), sample(deps, "data_disk_size_bytes")
    assert free is not None and size is not None and 0 <= free <= size
    host.show_disk(deps.metrics, tmp_path / "gone")
    assert sample(deps, "data_disk_free_bytes") is sample(deps, "data_disk_size_bytes") is None


# ---------------------------------------------------------------- the store, sources, the desk


@pytest.mark.sqlite
def test_the_store_is_reachable_while_its_uses_work(tmp_path: Path) -> None:
    deps = deps_of("archive")
    folder = tmp_path / "data"
    engine = open_store(f"sqlite:///{folder / 'wenxun.db'}")
    reachable.watch(engine, deps.metrics["store_reachable"].labels("archive"))

    def run(statement: str) -> float | None:
        with suppress(SQLAlchemyError), engine.begin() as connection:
            connection.exec_driver_sql(statement)
        return sample(deps, "store_reachable", role="archive")

    assert run("CREATE TABLE rows (id INTEGER PRIMARY KEY)") == 1
    assert run("SELECT * FROM gone") == 0
    assert run("INSERT INTO rows VALUES (1)") == 1
    assert run("INSERT INTO rows VALUES (1)") == 1, "the store answered: it was the question"
    engine.dispose()
    folder.rename(tmp_path / "elsewhere")
    assert run("SELECT 1") == 0, "not even a connection"
    (tmp_path / "elsewhere").rename(folder)
    assert run("SELECT 1") == 1
    engine.dispose()


async def test_a_role_that_waits_for_its_store_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deps, waiting, there = deps_of("desk"), asyncio.Event(), asyncio.Event()

    async def ready_store(url: str) -> Any:
        waiting.set()
        await there.wait()
        return open_store(f"sqlite:///{tmp_path / 'wenxun.db'}")

    monkeypatch.setattr(reachable, "ready_store", ready_store)
    starting = asyncio.create_task(reachable.ready(deps, "desk"))
    await waiting.wait()
    assert sample(deps, "store_reachable", role="desk") == 0
    there.set()
    (await starting).dispose()
    assert sample(deps, "store_reachable", role="desk") == 1


def test_a_source_that_fails_has_one_series_for_it_and_none_when_it_is_gone() -> None:
    deps = deps_of("collect")
    vitals = Vitals(deps.metrics)

    def see(state: HealthState, failures: int) -> tuple[float | None, float | None]:
        vitals.see(Health("s", "s", state, NOON, "", outcome="no_answer"))
        vitals.polled("s", failures)
        return (sample(deps, "feed_consecutive_failures", source="s"),
                sample(deps, "source_blind_since_timestamp_seconds", source="s", outcome="no_answer"))

    assert see(HealthState.OK, 0) == (None, None)
    assert see(HealthState.FAILING, 2) == (2, None)
    vitals.see(Health("s", "s", HealthState.BLIND, NOON, "", outcome="no_answer"))   # by time, between two polls
    assert sample(deps, "feed_consecutive_failures", source="s") is None
    assert see(HealthState.BLIND, 9) == (None, NOON / 1000)
    assert see(HealthState.FAILING, 1) == (1, None)
    vitals.forget("s")
    assert sample(deps, "feed_consecutive_failures", source="s") is None


async def test_requests_to_the_desk_are_counted_by_how_they_were_answered() -> None:
    deps = deps_of("desk")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/breaks":
            raise RuntimeError("broken")
        await send({"type": "http.response.start", "status": int(scope["path"].strip("/") or 200), "headers": []})
        await send({"type": "http.response.body", "body": b""})

    transport = httpx.ASGITransport(Measure(app, deps.metrics), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://desk") as client:
        for path in ("/", "/303", "/404", "/404", "/503", "/breaks"):
            await client.get(path)
        counts = {code: sample(deps, "desk_requests_total", code=code) for code in ("2xx", "3xx", "4xx", "5xx")}
        assert counts == {"2xx": 1, "3xx": 1, "4xx": 2, "5xx": 2}
        await client.get("/livez")
    assert sample(deps, "desk_request_seconds_count") == 6


# ---------------------------------------------------------------- how many


def registries() -> dict[str, CollectorRegistry]:
    return {role: filled(role).registry for role in EVERY}


def test_two_thousand_sources_and_five_hundred_open_events_are_five_thousand_series() -> None:
    """On their worst day: no source is heard."""
    counts = {role: samples(registry) for role, registry in registries().items()}
    assert counts["collect"] > 4000, "two for each source"
    assert sum(counts.values()) <= 5000, counts
    assert samples(filled("escalate", events=500).registry) == samples(filled("escalate", events=50).registry)
    assert samples(filled("collect", sources=20).registry) == counts["collect"] - 2 * 1980


@pytest.mark.promtool
async def test_promtool_has_nothing_to_say_of_any_role() -> None:
    command = [program("promtool", "promtool"), "check", "metrics"]
    for role, registry in registries().items():
        checking = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        said, _ = await checking.communicate(generate_latest(registry))
        assert (checking.returncode, said.decode()) == (0, ""), role
