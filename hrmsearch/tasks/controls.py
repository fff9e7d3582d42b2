"""What a task is held against without a neural model: its own controls, and n-grams wherever a text is modelled."""

from hrmsearch.tasks import ngram
from hrmsearch.tasks.base import Control, Task, TaskData


def controls_of(task: Task, data: TaskData) -> tuple[Control, ...]:
    """Return the controls that the data bring; where they bring none, and splits are running text, n-grams.

    A text is what is judged by bits per character and predicts each next token. Its n-grams have orders 1 to 5, as far
    as the vocabulary lets them be counted; they are trained on `train` and scored on every other split: `loss`, `ppl`
    and `bpc`.
    """
    own = tuple(data.controls())
    if own or "bpc" not in task.metrics:
        return own
    texts = {name: split for name, split in data.splits.items() if split.text is not None}
    train = texts.pop("train", None)
    if train is None or train.text is None:
        return ()
    return tuple(ngram.controls(train.text, texts, task.vocabulary, ngram.most_orders(task.vocabulary)))
