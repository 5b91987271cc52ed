"""The reply benchmark at toy size: its fields, and that other families are refused."""

from __future__ import annotations

import pytest

from pipelines.benchmarks.reply import bench_reply


def test_bench_reply() -> None:
    answer = bench_reply("starter-toy", repeats=1, words=6)
    assert answer["name"] == "reply" and answer["unit"] == "s" and len(answer["ratios"]) == 1
    assert 0 < answer["first_text"]["ours"] < answer["ours"]
    assert answer["ratio_median"] == pytest.approx(answer["plain"] / answer["ours"])
    pair = answer["pair"]
    assert pair["plain"] > pair["ours"] > 0 and pair["times_one"] == pytest.approx(2 * pair["ours"] / pair["plain"])
    with pytest.raises(ValueError, match="janus-toy"):
        bench_reply("janus-toy", repeats=1)
