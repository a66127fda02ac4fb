"""The report adds up what the rounds say, and hides no violation."""

from __future__ import annotations

import json

from faults import report


def line(fault="sigstop", variant="twolane", violations=(), void="", recovery=1.0, **counts):
    return {
        "fault": fault,
        "variant": variant,
        "violations": [{"kind": kind, "count": 2, "detail": "where"} for kind in violations],
        "void": void,
        "recovery_seconds": recovery,
        "replay": f"make faults SEED=7 FAULT={fault}",
        "counts": counts,
        "versions": {"kafka": "4.3.1"},
    }


def test_clean_rounds_have_their_bound():
    text = report.markdown([line(records=600, written=590, unknown=10, false_unknown=4) for _ in range(30)])
    assert "30 rounds, 18 000 records, 0 rounds with violations." in text
    assert "fewer than 10.00% of such rounds" in text
    assert "| sigstop | 30 | 18 000 | 17 700 | 0 | 300 | 120 | 0 | 0 | 10.0% |" in text
    assert "Versions: kafka 4.3.1." in text


def test_a_violation_takes_the_bound_away_and_says_how_to_see_it_again():
    text = report.markdown([line(records=5), line("ghost", violations=["G1a"], records=5)])
    assert "1 rounds with violations." in text
    assert "(3/n)" not in text
    assert "- `make faults SEED=7 FAULT=ghost`: G1a (2): where" in text


def test_rounds_without_a_verdict_are_not_counted_as_clean():
    text = report.markdown([line(records=5), line(void="ClusterError: no leader", recovery=None)])
    assert text.startswith("1 rounds, 5 records")
    assert "1 rounds more have no verdict" in text


def test_peers_stand_beside_ours():
    text = report.markdown([line(recovery=1.0), line(recovery=2.0), line(variant="confluent", recovery=4.0)])
    assert "| recovery: median (highest), s | twolane | confluent |" in text
    assert "| sigstop | 1.50 (2.00) | 4.00 (4.00) |" in text


def test_files_become_text_and_a_picture(tmp_path, capsys):
    file, drawn = tmp_path / "results.jsonl", tmp_path / "faults.svg"
    file.write_text("".join(json.dumps(line(recovery=one, records=5)) + "\n" for one in (0.5, None)))
    assert report.main([str(file), "--picture", str(drawn)]) == 0
    assert "2 rounds, 10 records" in capsys.readouterr().out
    assert "sigstop" in drawn.read_text()


def test_what_is_kept_makes_the_same_report(tmp_path, capsys):
    of_ghost = {**line("ghost", violations=["G1a"], records=5), "cause": "F3", "workload": {}}
    lines = [line(records=5, by_code={}), {**of_ghost, "versions": {"kafka": "4.3.1", "commit": "abc"}}]
    file, kept = tmp_path / "results.jsonl", tmp_path / "kept.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in lines))
    assert report.main([str(file), "--keep", str(kept)]) == 0
    whole = capsys.readouterr().out
    assert "G1a (2): where. **F3**" in whole
    assert "| `abc` | 1 | 5 | 1 |  |" in whole
    assert report.main([str(kept)]) == 0
    assert capsys.readouterr().out.splitlines()[:-1] == whole.splitlines()[:-1]  # behind it: the versions
