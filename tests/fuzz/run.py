"""Fuzz decoders with atheris: ``python tests/fuzz/run.py SECONDS [TARGET…]``.

Each target has SECONDS. Inputs that reached new code, and those that made the target fail, are stored below
``.fuzz/TARGET``; the next run starts from them. Add a failing input to `tests/fuzz/corpus.py`, where it stays a
test.

``python tests/fuzz/run.py --replay`` calls every target with these inputs, to measure coverage.
"""

import logging
import os
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".fuzz"
sys.path.insert(0, str(Path(__file__).parents[1]))


def fuzz(seconds, names):
    """Fuzz each target in a process of its own. Return whether all have succeeded."""
    import atheris

    with atheris.instrument_imports(include=["modelgate", "python_multipart"]):
        from fuzz.targets import TARGETS
    has_succeeded = True
    for name in names or TARGETS:
        print(f"== {name}", flush=True)  # noqa: T201
        # A fork, because instrumenting the modules takes longer than a short run.
        child = os.fork()
        if child == 0:
            fuzz_target(name, TARGETS[name], seconds)
        has_succeeded &= os.waitpid(child, 0)[1] == 0
    return has_succeeded


def fuzz_target(name, target, seconds):
    import atheris

    from fuzz.corpus import CORPUS

    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(CORPUS[name].values()):
        (folder / f"corpus-{number}").write_bytes(content)
    target(next(iter(CORPUS[name].values())))  # The first call creates models and gates.
    limits = [f"-max_total_time={seconds}", "-max_len=32768", "-timeout=60", "-rss_limit_mb=2048"]
    reports = ["-print_final_stats=1", f"-artifact_prefix={folder}/failed-"]
    atheris.Setup([sys.argv[0], *limits, *reports, str(folder)], target)
    atheris.Fuzz()  # ends the process


def replay():
    from fuzz.corpus import CORPUS
    from fuzz.targets import TARGETS

    for name, target in TARGETS.items():
        found = [path.read_bytes() for path in (FOLDER / name).glob("*")]
        for content in [*CORPUS[name].values(), *found]:
            target(content)


if __name__ == "__main__":
    logging.getLogger("modelgate").setLevel(logging.CRITICAL)
    if sys.argv[1:] == ["--replay"]:
        replay()
    else:
        sys.exit(not fuzz(int(sys.argv[1]), sys.argv[2:]))
