"""The command line: one file per command in `commands/`, each loaded when it is asked for.

Exit codes: 0 done; 1 a check found something (`validate`, `check`, `reproduce`); 2 an error that the user can mend;
3 training diverged; 70 a bug; 130 interrupted; 141 the reader of a pipe went away.
"""

import sys


def main() -> None:
    """Run the command that the process was started with, and exit."""
    try:
        from hrmsearch.cli.app import app

        app(prog_name="hrmsearch")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:
        from hrmsearch.cli.failure import report_bug

        sys.exit(report_bug())
