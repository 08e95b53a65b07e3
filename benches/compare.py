"""Benchmarks two revisions side by side, and fails where the second one is slower.

    benches/compare.py BASE [REVISION]

Without REVISION the working tree is compared. The `stages` benchmarks of both are built, then run in turns, so that
what disturbs the machine for a while disturbs both alike. What seems slower is measured again before it counts.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

# How much more time a benchmark may take.
TOLERANCE = 1.10
ROUNDS = 4
# How often what seems slower is measured again: a disturbance passes, a regression stays.
REPEATS = 2
SETTINGS = ["--warm-up-time", "0.5", "--measurement-time", "1", "--sample-size", "20"]
CARGO = os.environ.get("CARGO", "cargo")


def main():
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    revisions = [*sys.argv[1:], None][:2]
    for revision in filter(None, revisions):
        if subprocess.run(["git", "rev-parse", "--quiet", "--verify", f"{revision}^{{commit}}"], stdout=subprocess.DEVNULL).returncode:
            sys.exit(f"there is no revision {revision}")
    root = Path(output("git", "rev-parse", "--show-toplevel"))
    with tempfile.TemporaryDirectory(prefix="sparkload-compare-") as folder:
        folder = Path(folder)
        trees = []
        try:
            trees.extend(Tree(root, folder / name, revision) for name, revision in zip("ab", revisions))
            compare(*trees)
        finally:
            for tree in trees:
                tree.remove()


def compare(base, new):
    for tree in (base, new):
        tree.build()
    names = base.names() & new.names()
    if not names:
        sys.exit("the two revisions have no benchmark in common")
    for name in sorted(base.names() ^ new.names()):
        print(f"only in {base if name in base.names() else new}: {name}")

    run(base, new, sorted(names), ROUNDS)
    for _ in range(REPEATS):
        doubtful = [name for name in sorted(names) if ratio(base, new, name) > TOLERANCE]
        if doubtful:
            print(f"measuring {len(doubtful)} again that seem slower", flush=True)
            run(base, new, doubtful, ROUNDS)

    width = max(map(len, names))
    print(f"\n{'benchmark':{width}}{str(base):>14}{str(new):>14}   ratio")
    slower = []
    for name in sorted(names):
        times = [f"{statistics.median(tree.times[name]) / 1e6:.3f} ms" for tree in (base, new)]
        change = ratio(base, new, name)
        if change > TOLERANCE:
            slower.append(name)
        print(f"{name:{width}}{times[0]:>14}{times[1]:>14}   {change:.2f}{'  SLOWER' if change > TOLERANCE else ''}")
    if slower:
        sys.exit(f"{len(slower)} of {len(names)} benchmarks take over {TOLERANCE - 1:.0%} longer: {', '.join(slower)}")
    print(f"none of {len(names)} benchmarks takes over {TOLERANCE - 1:.0%} longer")


def run(base, new, names, rounds):
    for number in range(rounds):
        # Who goes first takes turns too.
        for tree in (base, new) if number % 2 == 0 else (new, base):
            print(f"round {number + 1} of {rounds}: {tree}", flush=True)
            tree.run(names)


def ratio(base, new, name):
    """The new time in base times, from the medians of all rounds."""
    return statistics.median(new.times[name]) / statistics.median(base.times[name])


class Tree:
    """A revision: its files, its benchmarks, and the times that they take in nanoseconds."""

    def __init__(self, root, folder, revision):
        self.root, self.revision, self.times = root, revision, {}
        # Each has a place of its own: cargo would take what is built of one for the other. It is kept, as most of it are
        # dependencies that the next comparison needs too.
        self.target = Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
        if revision is not None:
            self.target /= f"compare-{folder.name}"
        self.results = folder / "results"
        self.files = root if revision is None else folder / "files"
        if revision is not None:
            call("git", "-C", root, "worktree", "add", "--quiet", "--detach", self.files, revision)

    def __str__(self):
        return "working tree" if self.revision is None else self.revision[:13]

    def build(self):
        print(f"building {self}", flush=True)
        command = [CARGO, "bench", "--locked", "--no-run", "--bench", "stages", "--features", "internals"]
        command += ["--no-default-features", "--message-format", "json-render-diagnostics"]
        environment = {**os.environ, "CARGO_TARGET_DIR": str(self.target)}
        built = subprocess.run(command, cwd=self.files, env=environment, stdout=subprocess.PIPE, text=True)
        if built.returncode:
            sys.exit(f"the benchmarks of {self} can't be built")
        messages = [json.loads(line) for line in built.stdout.splitlines()]
        [self.program] = [it["executable"] for it in messages if it.get("executable")]

    def names(self):
        listed = output(self.program, "--bench", "--list")
        return {line.removesuffix(": benchmark") for line in listed.splitlines() if line.endswith(": benchmark")}

    def run(self, names):
        environment = {**os.environ, "CRITERION_HOME": str(self.results)}
        shutil.rmtree(self.results, ignore_errors=True)
        filter = "^(" + "|".join(re.escape(name) for name in names) + ")$"
        done = subprocess.run([self.program, "--bench", filter, *SETTINGS], env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"the benchmarks of {self} fail:\n{done.stderr}")
        for found in self.results.glob("**/new/benchmark.json"):
            name = json.loads(found.read_text())["full_id"]
            estimates = json.loads(found.with_name("estimates.json").read_text())
            self.times.setdefault(name, []).append(estimates["median"]["point_estimate"])

    def remove(self):
        if self.revision is not None:
            call("git", "-C", self.root, "worktree", "remove", "--force", self.files)


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def call(*command):
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
