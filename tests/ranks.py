"""A process that trains the puzzled model together with others; `python -m tests.ranks RANK RANKS MEETING OUT`."""

# torch's own annotations are partial
# pyright: reportUnknownMemberType=false, reportPrivateImportUsage=false

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hrmsearch.ir.checkpoint import write_arrays
from hrmsearch.runtime import Pass
from tests.property.test_puzzles import call, compiled, puzzled

#: the keys of each step's joined batch; ranks hold other keys, the same ones, and some twice
KEYS = ([1, 1, 3, 3, 0, 1], [2, 2, 2, 0, 1, 3], [0, 1, 2, 2, 1, 0])


def trained(rank: int = 0, ranks: int = 1) -> dict[str, NDArray[np.float64]]:
    """Return the parameters after every step was taken on a rank's part of the batch."""
    # the other parameters move too, by a rule that tells magnitudes apart
    executable, graph = compiled("torch", puzzled("train.optimizer={kind: adamw, lr: 0.01}", "train.clip=0.1"))
    for seed, keys in enumerate(KEYS):
        whole, rows = call(graph, keys, seed), len(keys) // ranks
        mine = slice(rank * rows, (rank + 1) * rows)
        part = Pass({name: array[mine] for name, array in whole.inputs.items()}, 3)
        executable.train_step([part], executable.init_carry(rows, 5), 0.01)
    return executable.params


def main(rank: int, ranks: int, meeting: str, out: str) -> None:
    from torch import distributed

    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=ranks)
    write_arrays(Path(out), trained(rank, ranks))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
