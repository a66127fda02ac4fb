"""The picture's small PromQL: every query of the dashboard is understood, and its functions give what they should."""

from __future__ import annotations

import json

import pytest

from bench.dashboard import DASHBOARD, WINDOW, draw, evaluate

NAME = "twolane_producer"


def scrapes(seconds=20):
    """A counter by verdict that rises by 100 a second, a histogram, and a gauge of two producers."""
    made = []
    for at in range(seconds):
        samples = {}
        for client in ("a", "b"):
            own = {"client_id": client}
            for name, labels, value in [
                ("records_total", {"verdict": "written"}, 100.0 * at),
                ("records_total", {"verdict": "unknown"}, float(at)),
                ("requests_total", {}, 10.0 * at),
                ("queue_records", {}, 7.0),
                ("latency_seconds_bucket", {"le": "0.1"}, 50.0 * at),
                ("latency_seconds_bucket", {"le": "0.3"}, 100.0 * at),
                ("latency_seconds_bucket", {"le": "+Inf"}, 100.0 * at),
            ]:
                samples[f"{NAME}_{name}", frozenset({**own, **labels}.items())] = value
        made.append((float(at), samples))
    return made


def last(series):
    return {tuple(sorted(labels)): points[-1][1] for labels, points in series.items()}


def test_rates_sums_and_quantiles():
    by = f'sum by (verdict) (rate({NAME}_records_total{{client_id=~"$client"}}[$__rate_interval]))'
    assert last(evaluate(by, scrapes())) == {(("verdict", "written"),): 200.0, (("verdict", "unknown"),): 2.0}
    lost = f'sum by (client_id, verdict) (increase({NAME}_records_total{{verdict!="written"}}[$__rate_interval]))'
    assert set(last(evaluate(lost, scrapes())).values()) == {WINDOW}
    records, requests = (f"sum(rate({NAME}_{name}_total{{}}[$__rate_interval]))" for name in ("records", "requests"))
    assert last(evaluate(f"{records} / {requests}", scrapes())) == {(): pytest.approx(10.1)}
    for part, seconds in ((0.5, 0.1), (0.75, 0.2)):
        text = f"histogram_quantile({part}, sum by (le) (rate({NAME}_latency_seconds_bucket{{}}[$__rate_interval])))"
        assert last(evaluate(text, scrapes())) == {(): pytest.approx(seconds)}
    assert set(last(evaluate(f'{NAME}_queue_records{{client_id=~"$client"}}', scrapes())).values()) == {7.0}


def test_more_than_that_is_refused():
    with pytest.raises(ValueError, match="more PromQL than is known here"):
        evaluate("topk(3, x)", scrapes())


def test_every_query_of_the_dashboard_is_drawn(tmp_path):
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            evaluate(target["expr"], scrapes())
    draw(scrapes(), tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
