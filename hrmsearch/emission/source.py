"""Turns emitted source into a module that tracebacks, debuggers and `inspect.getsource` can show."""

import hashlib
import linecache
import sys
from types import ModuleType


def load_source(source: str, name: str, setting: str = "") -> ModuleType:
    """Return the module that a source defines; the same source under the same setting is loaded once in a process.

    setting: what the module's constants depend on besides the source, a number format or a device.
    """
    digest = hashlib.sha256(f"{setting}\n{source}".encode()).hexdigest()[:12]
    title = f"hrmsearch.emission.emitted_{digest}"
    if title in sys.modules:
        return sys.modules[title]
    file = f"<{name}, emitted {digest}>"
    module = ModuleType(title, source.split('"""')[1])
    module.__file__ = file
    # no modification time: the cache then never looks for the file
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), module.__dict__)
    sys.modules[title] = module
    return module
