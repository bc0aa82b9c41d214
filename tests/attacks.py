"""Everything that a hostile world does to the package, in one table.

    python -m tests.attacks            # minutes; --quick: seconds, with few tries; --seed 1: other random moments

A row is an attack. Its columns:

- tries: how often it was made (processes killed, things left in a store, configs, calls, texts);
- lost: runs that were finished in the store and later were gone, changed, or not there at the end;
- doubled: runs that began while they were going on elsewhere, or after their result had been stored, or more often than once
  and once again for each process that was killed;
- damaged: files that cannot be read, and numbers that differ, to the bit, from those of a sweep that nobody disturbed; of a
  config: another one after a journey through JSON; of a text in a page: it ran as a script or asked the network for something;
- hung: not ended after a generous time;
- unnamed: errors that do not say what is wrong: the argument, the file, or that the system ended the process.

A run whose process the system ends twice while it runs alone is recorded as failed, by design; the next sweep tries it again.
So a killed worker costs time, and no row of a table is lost: the attack sweeps again until everything has finished.
"""

import argparse
import collections
import contextlib
import dataclasses
import functools
import json
import math
import multiprocessing
import os
import random
import re
import sys
import tempfile
import time
import warnings
from pathlib import Path

import psutil

import gst_tutorial as gst
from gst_tutorial.studies import sweep as _sweep  # noqa: F401 (loads the module, before any process is made)
from tests import doors, injections
from tests.studies import attacked

SECONDS = 180  # a sweep of some seconds that takes longer hangs
COARSE = 50_000_000  # ns: what a file system's clock may be behind
COLUMNS = ("tries", "lost", "doubled", "damaged", "hung", "unnamed")


@dataclasses.dataclass
class Row:
    """What came of one attack."""

    attack: str
    tries: int = 0
    lost: int = 0
    doubled: int = 0
    damaged: int = 0
    hung: int = 0
    unnamed: int = 0
    found: list[str] = dataclasses.field(default_factory=list)  # what is behind the numbers

    def add(self, column: str, what: str, n: int = 1) -> None:
        if n > 0:
            setattr(self, column, getattr(self, column) + n)
            self.found.append(f"{column}: {what}")


# --- processes and stores ---------------------------------------------------------------------------------------------


def _work(say, folder: Path, n_runs: int, n_jobs: int, every: float) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what joblib says of killed workers
    os.environ[attacked.LOG] = str(folder / "log")
    module = sys.modules["gst_tutorial.studies.sweep"]
    module.run = functools.partial(gst.run, every=every)  # checkpoints of runs that are over before the first is due
    try:
        frame = gst.sweep(attacked.study(n_runs), n_jobs, folder / "store")
        say.send(frame.error[frame.status != "finished"].tolist())
    except BaseException as error:
        say.send(f"{type(error).__name__}: {error}")
    say.close()
    for worker in psutil.Process().children():  # a forked process would wait for joblib's idle ones
        worker.kill()
    os._exit(0)


class Process:
    """A sweep of the first `n_runs` runs in a process of its own. Forked, so that a hundred of them need no minutes."""

    def __init__(self, folder: Path, n_runs: int, n_jobs: int = 1, every: float = 60.0):
        context = multiprocessing.get_context("fork")
        self.heard, say = context.Pipe(duplex=False)
        self.process = context.Process(target=_work, args=(say, folder, n_runs, n_jobs, every))
        self.process.start()
        say.close()

    def ended(self, seconds: float) -> bool:
        self.process.join(seconds)
        return not self.process.is_alive()

    def kill(self) -> None:
        """With its workers."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for each in [*psutil.Process(self.process.pid).children(recursive=True), self.process]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
        self.process.join()

    def workers(self) -> list[psutil.Process]:
        """joblib's processes, without the one that counts its resources."""
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.process.pid).children()
            return [each for each in children if "popen_loky" in " ".join(each.cmdline())]
        return []

    def said(self) -> list[str]:
        """Errors: of the sweep, or of its runs that did not finish. Of a killed process: none."""
        if not self.heard.poll():
            return []
        try:
            said = self.heard.recv()
        except EOFError:
            return []
        return [said] if isinstance(said, str) else said


class Arena:
    """A store under attack, and what is seen of it."""

    def __init__(self, folder: Path, row: Row):
        self.folder, self.row, self.n_runs = folder, row, 0
        (folder / "log").mkdir(parents=True)
        self.store = gst.ResultStore(folder / "store")
        self.kept: dict[str, bytes] = {}
        self.killed = 0  # processes, each with the runs that it had begun
        self.put = 0  # results that the attack itself has damaged

    def sweep(self, n_runs: int, **options) -> Process:
        self.n_runs = max(self.n_runs, n_runs)
        return Process(self.folder, n_runs, **options)

    def look(self) -> None:
        """Whether everything that had been stored is there, as it was."""
        now = {path.name: path.read_bytes() for path in self.store.path.glob("*.json") if path.is_file()}
        for name, text in self.kept.items():
            if now.get(name) != text:
                self.row.add("lost", f"{name} was {'changed' if name in now else 'removed'}")
        self.kept = {name: text for name, text in now.items() if b'"status": "finished"' in text}

    def judge(self, errors: list[str]) -> None:
        """Whether each error says what is wrong."""
        for error in errors:
            if str(self.store.path) not in error and "The system ended the process" not in error:
                self.row.add("unnamed", error)

    def wait(self, process: Process) -> list[str]:
        """What a process says that has all the time it needs."""
        if not process.ended(SECONDS):
            process.kill()
            self.row.add("hung", f"a sweep of {self.n_runs} runs")
        said = process.said()
        self.judge(said)
        return said

    def close(self, reference: dict[str, dict], runs_of_a_kill: int) -> None:
        """Let one more sweep end in peace, and compare everything with the reference."""
        if said := self.wait(self.sweep(self.n_runs)):
            self.row.add("lost", f"not finished in the end: {said}", len(said))
        self.look()
        configs = {config.recipe.learning_rate: config for config in attacked.study(self.n_runs).configs}
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            records = self.store.records(configs.values())
        self.row.add("damaged", "files", len(list(self.store.path.glob("*.damaged"))) - self.put)
        for config in configs.values():
            if config.hash not in records:
                self.row.add("lost", f"no result of {config}")
            elif numbers(records[config.hash]) != numbers(reference[config.hash]):
                self.row.add("damaged", f"other numbers: {config}")
        stored = {rate: self.store.file(config).stat().st_mtime_ns for rate, config in configs.items()}
        begun = attacked.starts(self.folder / "log")
        for rate, when, twice in begun:
            if twice:
                self.row.add("doubled", f"{rate} began while it was going on")
            elif when > stored[rate] + COARSE:
                self.row.add("doubled", f"{rate} began after it had been stored")
        self.row.add("doubled", "began once more", len(begun) - len(configs) - self.killed * runs_of_a_kill)


def numbers(record: dict) -> dict:
    """What an undisturbed run gives again."""
    result = {name: value for name, value in record["result"].items() if name != "seconds"}
    return {"result": result, **{part: record[part] for part in ("status", "error", "events", "epochs")}}


def reference(folder: Path, n_runs: int) -> dict[str, dict]:
    """The records of a sweep that nobody disturbs."""
    (folder / "log").mkdir(parents=True)
    process = Process(folder, n_runs)
    if not process.ended(SECONDS) or process.said():
        raise RuntimeError("the undisturbed sweep failed")
    return gst.ResultStore(folder / "store").records(attacked.study(n_runs).configs)


# --- killed at random moments -----------------------------------------------------------------------------------------


def killed_sweeps(row: Row, folder: Path, draw: random.Random, n_kills: int, n_runs: int, known: dict) -> None:
    """One process, killed and started again; checkpoints are written after every epoch."""
    n = 0
    while row.tries < n_kills:
        arena, todo = Arena(folder / str(n), row), n_runs
        n += 1
        while row.tries < n_kills:
            process = arena.sweep(todo, every=0.0)
            if process.ended(draw.uniform(0, 0.5)):
                arena.judge(process.said())
                break  # all of it is done: on to an empty store
            process.kill()
            row.tries += 1
            arena.killed += 1
            arena.look()
        arena.close(known, runs_of_a_kill=1)


def killed_workers(row: Row, folder: Path, draw: random.Random, n_kills: int, n_runs: int, known: dict) -> None:
    """Two worker processes of a sweep that goes on; a run that dies with its process again and again is failed."""
    n = 0
    while row.tries < n_kills:
        arena = Arena(folder / str(n), row)
        n += 1
        process, start = arena.sweep(n_runs, n_jobs=2), time.monotonic()
        while not process.ended(draw.uniform(0, 2.5)):
            if time.monotonic() - start > SECONDS:
                break
            if row.tries < n_kills and (workers := process.workers()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    draw.choice(workers).kill()
                    row.tries += 1
                    arena.killed += 1
            arena.look()
        arena.wait(process)
        arena.close(known, runs_of_a_kill=4)  # joblib ends the other worker, too, and each has the next run at hand


# --- what dead processes, and other programs, leave in a store -----------------------------------------------------------


def _old(path: Path) -> None:
    os.utime(path, (time.time() - 7200,) * 2)


def _owner(store, config) -> Path:
    return _lock(store, config).with_suffix(".owner")


def _lock(store, config) -> Path:
    return store.path / "locks" / f"{config.hash}.lock"


def _part(store, config) -> Path:
    return store.path / f"{config.hash}.dead.part"


def _living(store, config) -> None:
    _lock(store, config).write_text(json.dumps({"pid": os.getpid(), "host": os.uname().nodename}))
    _owner(store, config).write_text(f"process {os.getpid()} on {os.uname().nodename}")


def _old_part(store, config) -> None:
    _part(store, config).write_text("half a res")
    _old(_part(store, config))


def _old_folder(store, config) -> None:
    _part(store, config).mkdir()
    _old(_part(store, config))


def _link(store, config) -> None:
    _owner(store, config).symlink_to(store.path.parent / "precious")


#: Left before the sweeps begin, a run each: they must go on as if nothing lay there. Results left damaged are made anew.
LEFT = {
    "nonsense in the lock": lambda s, c: _lock(s, c).write_bytes(b"\0\xff{[" * 99),
    "the id of a living process": _living,
    "a claim of the first version": lambda s, c: (s.path / f"{c.hash}.running").write_text(str(os.getpid())),
    "a pipe as lock": lambda s, c: os.mkfifo(_lock(s, c)),
    "nonsense as owner": lambda s, c: _owner(s, c).write_bytes(b"\0\xff" * 999),
    "a pipe as owner": lambda s, c: os.mkfifo(_owner(s, c)),
    "a folder as owner": lambda s, c: _owner(s, c).mkdir(),
    "a link as owner": _link,
    "a new part": lambda s, c: _part(s, c).write_text("half a res"),
    "an old part": _old_part,
    "an old folder as part": _old_folder,
    "a pipe as checkpoint": lambda s, c: os.mkfifo(s.checkpoint(c)),
    "a folder as checkpoint": lambda s, c: s.checkpoint(c).mkdir(),
    "nonsense as checkpoint": lambda s, c: s.checkpoint(c).write_bytes(b"\xff" * 999),
    "half a result": lambda s, c: s.file(c).write_text('{"checksum": "12'),
    "a pipe as result": lambda s, c: os.mkfifo(s.file(c)),
    "a folder as result": lambda s, c: s.file(c).mkdir(),
}
#: No lock can be had here: every sweep must end at once in an error that names the file.
IN_THE_WAY = {
    "a folder as lock": lambda s, c: _lock(s, c).mkdir(),
    "a link as lock": lambda s, c: _lock(s, c).symlink_to("nowhere"),
}


def left_behind(
    row: Row, folder: Path, draw: random.Random, n_processes: int, n_rounds: int, n_runs: int, known: dict
) -> None:
    """Several processes on one store in which things were left; one of them is killed, the others do its work."""
    for n in range(n_rounds):
        arena = Arena(folder / str(n), row)
        configs = attacked.study(n_runs).configs
        (folder / str(n) / "precious").write_text("precious")
        for leave, config in zip(LEFT.values(), draw.sample(configs, len(LEFT))):
            leave(arena.store, config)
            row.tries += 1
        arena.put = sum("result" in name for name in LEFT)
        processes = [arena.sweep(n_runs) for _ in range(n_processes)]
        if not processes[0].ended(draw.uniform(0, 0.1 * n_runs)):
            processes[0].kill()
            arena.killed += 1
        for process in processes:
            if said := arena.wait(process):
                row.add("lost", f"not finished: {said}", len(said))
        arena.close(known, runs_of_a_kill=1)
        if (folder / str(n) / "precious").read_text() != "precious":
            row.add("damaged", "a file outside the store")
    for name, leave in IN_THE_WAY.items():
        arena = Arena(folder / name, row)
        config = draw.choice(attacked.study(4).configs)
        leave(arena.store, config)
        row.tries += 1
        for process in [arena.sweep(4) for _ in range(n_processes)]:
            said = arena.wait(process)
            if not any(_lock(arena.store, config).name in error for error in said):
                row.add("unnamed", f"{name}: {said}")
        lock = _lock(arena.store, config)
        lock.unlink() if lock.is_symlink() else lock.rmdir()
        arena.close(known, runs_of_a_kill=0)


# --- configs ----------------------------------------------------------------------------------------------------------

#: Values that fit somewhere; that they fit each other is left to chance.
FIELDS = {
    "data": ["mnist1d", "digits", "cifar10", "folder:pictures", "tests.studies.own_functions:stripes"],
    "n_train": [None, 10, 100, 4000], "n_test": [None, 10, 100], "data_seed": [None, 0, 7, 2**32 - 1], "image_size": [None, 8, 32],
    "model": ["conv1d", "conv2d", "vgg11", "resnet20", "tests.studies.own_functions:small_net"],
    "width": [0.1, 0.25, 1, 2.0], "dropout": [0, 0.1, 0.5], "filter_dropout": [0.0, 0.3],
    "optimizer": ["adam", "adamw", "sgd", "torch.optim:RMSprop"], "learning_rate": [1e-4, 0.1, 1], "batch_size": [1, 50, 128],
    "epochs": [1, 6, 30, 60], "milestones": [(), (1,), (20, 26), [3, 5]], "gamma": [0.1, 1], "weight_decay": [0, 5e-4], "momentum": [0, 0.9],
    "label_smoothing": [0, 0.1], "augment": ["none", "shift_noise", "crop_flip"], "label_noise": [0, 0.2], "sam_radius": [0, 0.05],
    "weight_noise": [0, 0.01], "annealing": ["steps", "cosine"], "warmup_epochs": [0, 2], "clip_norm": [0, 1.5],
    "loss": ["cross_entropy", "tests.studies.own_functions:focal"], "precision": ["float32", "bf16"], "compiled": [False, True],
    "intervention": ["none", "prune", "zero", "scale", "gaussian", "rescale", "tests.studies.own_functions:half_turn"],
    "layers": [None, ("conv4",), ["conv3", "conv4"], ()], "prune_fraction": [0, 0.5, 0.9, (0.5, 0.9)], "score": ["l1", "l2", "ebn", "running_activation"],
    "schedule": ["init", (1,), (1, 2, 5), gst.PruneSchedule(0, 4, 2), (gst.PruneSchedule(0, 4, 2), (1, 2)), "tests.studies.own_functions:at_squares"],
    "target": ["smallest", "largest", "random"], "draws": ["new", "so far", "afresh"], "size": [None, 0, 0.5, 2], "n_batches": [1, 3],
    "restore": ["no", "values", "norm"], "mask": ["norm", "conv"], "measures": [(), ("flatness",), ("curvature", "sharpness"), ["flatness"]],
    "evaluate_every": [1, 5], "device": ["cpu", "cuda"], "seed": [0, 1, 10**9],
}  # fmt: skip
IN_JSON = [None, True, -1, 0, 3, 0.5, "", "fitler", [], [[]], ["a", 1], {}, {"a": 1}, 10**30, 1e308, "\0", math.nan]


def config_journeys(row: Row, draw: random.Random, n: int) -> collections.Counter:
    """Configs made at random, to JSON and back; a third with one junk field, and of what fits every third damaged in JSON."""
    outcomes = collections.Counter()
    for _ in range(n):
        row.tries += 1
        names = draw.sample(list(FIELDS), draw.randrange(1, 9))
        fields = {name: draw.choice(FIELDS[name]) for name in names}
        if draw.random() < 1 / 3:
            fields[draw.choice(names)] = draw.choice(doors.JUNK)
        try:
            config = gst.RunConfig(**fields)
        except Exception as error:
            outcomes["refused"] += 1
            _judge_config(row, error, fields)
            continue
        text = json.dumps(config.to_dict())
        back = gst.RunConfig.from_dict(json.loads(text))
        if back != config or back.hash != config.hash or json.dumps(back.to_dict()) != text:
            row.add("damaged", f"{config} became {back}")
        outcomes["came back"] += 1
        if draw.random() < 1 / 3:
            plain = json.loads(text)
            where = draw.choice([plain, plain["task"], plain["recipe"], plain["events"]])
            name = draw.choice(list(where))
            where[name] = draw.choice(IN_JSON)
            outcomes["damaged in JSON"] += 1
            try:
                gst.RunConfig.from_dict(plain)
            except Exception as error:
                _judge_config(row, error, {name: where[name]}, anywhere=True)
    return outcomes


def _judge_config(row: Row, error: Exception, fields: dict, anywhere: bool = False) -> None:
    text = str(error)
    names = [*fields, *FIELDS] if anywhere else fields
    if not isinstance(error, (TypeError, ValueError)) or not any(re.search(rf"\b{name}\b", text) for name in names):
        row.add("unnamed", f"RunConfig({', '.join(fields)}): {type(error).__name__}: {text[:200]}")


# --- the table --------------------------------------------------------------------------------------------------------


def bad_calls(row: Row, n: int, seed: int) -> None:
    """See `tests.doors`."""
    counts, found = doors.attack(n, seed)
    row.tries += n
    for name, argument, junk, text in found:
        row.add("unnamed" if text else "hung", f"{name}({argument}=JUNK[{junk}]): {text[:200]}")
    assert sum(counts.values()) == n


def attack(quick: bool, seed: int) -> list[Row]:
    """All attacks, each with random numbers of its own. Processes are forked first: torch's threads do not survive it."""
    rows = [
        Row(each)
        for each in (
            "one process, killed and restarted",
            "workers of two processes, killed",
            "two processes and what was left",
            "four processes and what was left",
            "configs through JSON",
            "bad public calls",
            "scripts in texts, in Chromium",
        )
    ]
    draws = [random.Random(f"{seed} {row.attack}") for row in rows]
    n_runs = len(LEFT) + 3
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gst.load("mnist1d", 100, 100)  # generated once, before the clocks run
        known = reference(folder / "reference", n_runs)
        killed_sweeps(rows[0], folder / "1", draws[0], 4 if quick else 100, n_runs, known)
        killed_workers(rows[1], folder / "2", draws[1], 1 if quick else 50, n_runs, known)
        left_behind(rows[2], folder / "3", draws[2], 2, 1 if quick else 4, n_runs, known)
        left_behind(rows[3], folder / "4", draws[3], 4, 1 if quick else 4, n_runs, known)
    config_journeys(rows[4], draws[4], 100 if quick else 1000)
    bad_calls(rows[5], 300 if quick else 5000, seed)
    injections.attack(rows[6], 15 if quick else 405)
    return rows


def table(rows: list[Row]) -> str:
    width = max(len(row.attack) for row in rows)
    lines = [f"{'attack':<{width}}" + "".join(f"{name:>9}" for name in COLUMNS)]
    for row in rows:
        lines.append(f"{row.attack:<{width}}" + "".join(f"{getattr(row, name):>9}" for name in COLUMNS))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few tries of each")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments and choices")
    arguments = parser.parse_args()
    start = time.perf_counter()
    rows = attack(arguments.quick, arguments.seed)
    print(table(rows))
    found = [f"{row.attack}: {each}" for row in rows for each in row.found]
    print("\n".join(found[:100]) or f"nothing found, in {time.perf_counter() - start:.0f} s")
    return int(bool(found))


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a bad call may have left a thread that never ends
