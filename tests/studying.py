"""Tiny studies for tests: arms that lower and train in a moment."""

from pathlib import Path

from hrmsearch.study.arms import Study
from hrmsearch.study.load import loads_study

ARM = """\
spec: 1
name: {name}
model:
  dim: 4
  init: {{normal: 0.3}}
  defaults: {{ffn: {{kind: swiglu, width: 4}}}}
  core:
    kind: hrm
    inject: [L]
    state: {{lifetime: pass}}
    levels:
      L: {{period: 1, block: {{kind: transformer, mixer: {{kind: attention, heads: {heads}, causal: {causal}}}}}}}
  head: {{kind: lm, read: L}}
task: {{kind: char_lm, corpus: pydoc, train_chars: 140, valid_chars: 30, test_chars: 40, window: 6}}
train: {{optimizer: {{kind: adamw, lr: 1.0e-3}}, batch: 4, epochs: 2, checkpoint: 1.0e+9}}
"""

STUDY = """\
study: tiny
arms: {a: a.yaml, b: b.yaml}
control: a
search:
  train.optimizer.lr: {log: [1.0e-4, 1.0e-1]}
objectives: {valid.bpc: min}
trials: 3
seeds: 2
"""


def write_arms(folder: Path) -> None:
    """Write the arms `a` and `b`, and `leaky`, which no analysis lets pass."""
    for name, heads, causal in (("a", 2, "true"), ("b", 1, "true"), ("leaky", 1, "false")):
        (folder / f"{name}.yaml").write_text(ARM.format(name=name, heads=heads, causal=causal))


def tiny_study(folder: Path, *overrides: str, text: str = STUDY) -> Study:
    """Return the tiny study with overrides; its arms are written to the folder."""
    write_arms(folder)
    return loads_study(text, str(folder / "study.yaml"), overrides)
