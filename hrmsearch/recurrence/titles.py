"""What functions are called that a kernel may stand for: a scan elsewhere stays because a spec or a figure says so."""

#: what such functions are called, followed by a number from the second on
TITLE = "Recurrence"


def is_titled(name: str) -> bool:
    """Return whether a function has such a name."""
    return name.partition("_")[0] == TITLE
