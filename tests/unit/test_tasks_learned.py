"""A small model learns to recall in seconds, and says so in the terms of its task."""

from pathlib import Path

import pytest

import hrmsearch as hs
from hrmsearch.train import SeedResult
from tests.training import train

pytest.importorskip("torch")

TEXT = """
spec: 1
name: recall
model:
  dim: 32
  defaults: {norm: {kind: rms, place: pre}, ffn: {kind: swiglu, width: 64}}
  embed: {position: learned, init: {normal: 0.5}}
  core:
    kind: hrm
    gradient: full
    state: {lifetime: pass}
    levels: {L: {layers: 2, block: {kind: transformer, mixer: {kind: attention, heads: 1}}}}
  head: {kind: lm, read: L, norm: {kind: rms}}
task:
  kind: mqar
  vocab: 16
  window: 16
  train: [{length: 12, pairs: 2, rows: 1536}, {length: 8, pairs: 2, rows: 512}]
  valid: [{length: 12, pairs: 2, rows: 128}]
  test: [{length: 12, pairs: 2, rows: 128}, {length: 8, pairs: 2, rows: 128}, {length: 12, pairs: 3, rows: 128}]
train: {optimizer: {kind: adamw, lr: 2.0e-3}, batch: 64, epochs: 5}
"""


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> SeedResult:
    return train(hs.loads(TEXT, "recall.yaml"), tmp_path_factory.mktemp("runs"))


def test_attention_recalls_far_beyond_guessing(result: SeedResult) -> None:
    constant, guess = result.controls
    for split in ("valid", "12x2", "8x2"):
        assert guess.metrics[split]["accuracy"] == 0.5
        assert constant.metrics[split]["accuracy"] < 0.3
        assert result.scores[split][-1]["accuracy"] > 0.95
        assert result.scores[split][-1]["exact"] > 0.9


def test_every_test_length_is_scored_apart(result: SeedResult, tmp_path: Path) -> None:
    assert list(result.scores) == ["valid", "12x2", "8x2", "12x3"]
    assert result.test == ()
    assert result.run_dir.joinpath("metrics.jsonl").read_text().count('"split": "12x3"') == 1
