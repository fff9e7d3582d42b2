"""Training: the loop, run directories, checkpoints, and trained runs read back.

`run` trains a spec's seeds and tells a `Watcher`; `load_run`, `evaluate`, `sample` and `reproduce` take it from there.
"""

from hrmsearch.train.answering import Answer as Answer
from hrmsearch.train.answering import answers as answers
from hrmsearch.train.compiling import compile_for as compile_for
from hrmsearch.train.compiling import prepared_for as prepared_for
from hrmsearch.train.compiling import source_for as source_for
from hrmsearch.train.interrupting import Interrupted as Interrupted
from hrmsearch.train.loading import Evaluation as Evaluation
from hrmsearch.train.loading import LoadedModel as LoadedModel
from hrmsearch.train.loading import LoadedRun as LoadedRun
from hrmsearch.train.loading import evaluate as evaluate
from hrmsearch.train.loading import load_run as load_run
from hrmsearch.train.loading import load_weights as load_weights
from hrmsearch.train.options import RunOptions as RunOptions
from hrmsearch.train.probing import kernels_for as kernels_for
from hrmsearch.train.probing import start_cost_for as start_cost_for
from hrmsearch.train.reconstructing import Reconstruction as Reconstruction
from hrmsearch.train.reconstructing import reconstruct as reconstruct
from hrmsearch.train.reproducing import Comparison as Comparison
from hrmsearch.train.reproducing import reproduce as reproduce
from hrmsearch.train.running import run as run
from hrmsearch.train.running import run_seed as run_seed
from hrmsearch.train.sampling import sample as sample
from hrmsearch.train.scores import Identity as Identity
from hrmsearch.train.scores import Score as Score
from hrmsearch.train.scores import SeedResult as SeedResult
from hrmsearch.train.scores import Spread as Spread
from hrmsearch.train.scores import Summary as Summary
from hrmsearch.train.scores import summarise as summarise
from hrmsearch.train.watch import EpochDone as EpochDone
from hrmsearch.train.watch import SeedStarted as SeedStarted
from hrmsearch.train.watch import Several as Several
from hrmsearch.train.watch import Silent as Silent
from hrmsearch.train.watch import Step as Step
from hrmsearch.train.watch import Watcher as Watcher
from hrmsearch.train.workshop import Workshop as Workshop
