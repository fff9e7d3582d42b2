"""What `hrmsearch --help` costs: CPU seconds beside a bare interpreter, and the imports that take longest.

python benchmarks/cli_startup.py
"""

import resource
import statistics
import subprocess
import sys

REPEATS = 5
LIMIT = 0.3  # CPU seconds, median
LONGEST = 12


def cpu_seconds(*arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def imports(*arguments: str) -> list[tuple[int, str]]:
    """Return (microseconds, module) of every import by itself, the longest first."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    rows = [line.removeprefix("import time:").split("|") for line in done.stderr.splitlines() if "|" in line]
    return sorted(((int(row[0]), row[2].strip()) for row in rows[1:]), reverse=True)


def main() -> None:
    bare, helped = list[float](), list[float]()
    for _ in range(REPEATS):  # interleaved, so that a busy moment meets both
        bare.append(cpu_seconds("-c", "pass"))
        helped.append(cpu_seconds("-m", "hrmsearch", "--help"))
    median, base = statistics.median(helped), statistics.median(bare)
    print(f"hrmsearch --help: {median:.3f} CPU-s, median of {REPEATS} (limit {LIMIT})")
    print(f"python -c pass:   {base:.3f} CPU-s; ratio {median / base:.2f}")
    print(f"the {LONGEST} longest imports, by themselves:")
    for microseconds, module in imports("-m", "hrmsearch", "--help")[:LONGEST]:
        print(f"  {microseconds / 1000:6.2f} ms  {module}")
    sys.exit(median > LIMIT)


if __name__ == "__main__":
    main()
