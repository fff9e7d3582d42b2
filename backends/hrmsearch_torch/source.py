"""Turns emitted source into a module that tracebacks, debuggers and `inspect.getsource` can show."""

import hashlib
import linecache
import sys
from types import ModuleType


def load_source(source: str, name: str) -> ModuleType:
    """Return the module that a source defines; the same source is loaded once in a process."""
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]
    title = f"hrmsearch_torch.emitted_{digest}"
    if title in sys.modules:
        return sys.modules[title]
    file = f"<{name}, emitted for torch {digest}>"
    module = ModuleType(title, source.split('"""')[1])
    module.__file__ = file
    # no modification time: the cache then never looks for the file
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), module.__dict__)
    sys.modules[title] = module
    return module
