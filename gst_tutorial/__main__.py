"""Command line: list the studies, run one, show its results. `gst --help` explains."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import sys
import threading
import time
from pathlib import Path

from gst_tutorial import _arguments as check
from gst_tutorial import studies
from gst_tutorial.statistics import gains, power
from gst_tutorial.studies import cost as costs
from gst_tutorial.studies.recorded import record, recorded, recorded_names
from gst_tutorial.studies.store import ResultStore
from gst_tutorial.studies.study import Study
from gst_tutorial.studies.sweep import sweep

EXAMPLES = """
examples:
  gst list                        every study, with the question it answers and its cost
  gst run dose --seeds 3          a first look: 3 seeds on every core
  gst run dose                    all reported seeds; stop with Ctrl-C, run again to resume
  gst run dose --scheduler tcp://host:8786     the same on a Dask cluster
  gst run paper-fig2-vgg11 --device cuda     on a GPU; a recent one also takes --precision bf16
  gst cost paper-fig3             what it would take on this machine, from measured steps
  gst show dose                   table and figure of what is in the package or in --out

exit codes: 0 all runs finished; 1 some runs failed (their rows say why); 2 wrong arguments; 130 stopped by Ctrl-C
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    try:
        with _signals_stop():
            return {"list": _list, "run": _run, "show": _show, "cost": _cost}[options.command](options)
    except (ValueError, ImportError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        if options.command == "run":  # the very same command: another device or precision would be another study
            command = f"gst {shlex.join(arguments)}"
            print(f"Finished runs are in {options.out}; resume with:\n  {command}", file=sys.stderr)
        return 130


class _Stopped(KeyboardInterrupt):
    """Ctrl-C, or the system asks the process to end.

    A class of its own, since CPython remembers a plain KeyboardInterrupt that passed through code given as text (a
    dataclass being made while a module is imported, say) and then dies of the signal, whatever `main` returns.
    """


@contextlib.contextmanager
def _signals_stop():
    """Inside, SIGINT, SIGTERM and SIGHUP all raise `_Stopped`, so that workers end and what is finished is kept."""

    def stop(number, frame):
        raise _Stopped

    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no SIGHUP
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        names = []
    before = {name: signal.signal(getattr(signal, name), stop) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gst",
        description="Run the studies behind the book: pruning a network while it trains, and what that does to its accuracy.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every study: name, runs, estimated time, question")
    run = commands.add_parser("run", help="run what is missing of a study and save every result")
    show = commands.add_parser("show", help="print the table of a study and save its figure")
    cost = commands.add_parser("cost", help="time a few training steps here and estimate what a study takes")
    for command in (run, cost):
        command.add_argument("--device", metavar="NAME", help="cpu (default), cuda, or another of torch's")
        command.add_argument("--precision", choices=("float32", "bf16"), help="bf16: for GPUs since Ampere (2020)")
        command.add_argument("--compiled", action="store_const", const=True, help="torch.compile; CUDA graphs on a GPU")
    for command in (run, show, cost):
        several = {"nargs": "*", "default": studies.names()} if command is cost else {}
        command.add_argument("study", metavar="STUDY", help="a name that `list` prints", **several)
        command.add_argument("--seeds", type=_positive, metavar="N", help="only the first N of the study's seeds")
    for command in (run, show):
        command.add_argument(
            "--out", type=Path, default=Path("results"), metavar="DIR", help="result folder (default: results)"
        )
    run.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="processes, one thread each (default: every core or worker; on a GPU here, 1)",
    )
    run.add_argument("--scheduler", metavar="ADDR", help="a Dask scheduler, e.g. tcp://127.0.0.1:8786")
    run.add_argument("--record", action="store_true", help="also write the CSV and JSON that the package carries")
    cost.add_argument("--record", action="store_true", help="keep it for `list`")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} must be at least 1")
    return value


def _study(options, name: str | None = None) -> Study:
    study = studies.get(name or options.study)
    changes = {name: getattr(options, name, None) for name in ("device", "precision", "compiled")}
    changes = {name: value for name, value in changes.items() if value is not None}
    if changes:
        study = study.replace_in_runs(**changes)
    return study.replace(seeds=study.seeds[: options.seeds]) if options.seeds else study


def _list(options) -> int:
    seeds = {name: len(recorded(name).attrs["provenance"]["seeds"]) for name in recorded_names()}
    hours = costs.recorded_costs().set_index("study").hours  # measured on the machine that recorded the studies
    print(f"{'study':<20} {'runs':>5} {'core time':>10}  {'recorded':<8}  question")
    for name in studies.names():
        study = studies.get(name)
        time_needed = costs.in_words(hours[name]) if name in hours else "not known"
        found = f"{seeds[name]} seeds" if name in seeds else "no"
        print(f"{name:<20} {len(study):>5} {time_needed:>10}  {found:<8}  {study.sentence}")
    return 0


def _cost(options) -> int:
    for name in options.study:
        study = _study(options, name)
        cost = costs.record_cost(study) if options.record else costs.study_cost(study)
        print(
            f"{study.sentence}\n{cost['runs']} runs, {cost['steps']:,} training steps of {cost['step_seconds']:.3g} s "
            f"here: about {costs.in_words(cost['hours'])} of one {'core' if options.device in (None, 'cpu') else 'GPU'}"
        )
        if len(study.seeds) > 1:
            sd, source = costs.spread(study)
            print(
                f"{len(study.seeds)} seeds find a paired difference of one point with probability "
                f"{power(0.01, sd, len(study.seeds)):.0%}, if it spreads over seeds by {100 * sd:.1f} points as in {source}"
            )
    return 0


def _run(options) -> int:
    study, start = _study(options), time.perf_counter()
    devices = {config.device for config in study.configs}
    if not options.scheduler:  # a cluster's workers may have what this machine has not
        for device in devices:
            check.device_here("device", device)
    one_gpu = devices != {"cpu"} and not options.scheduler  # each process would hold its own copy of the data on it
    jobs = (1 if one_gpu else -1) if options.jobs is None else options.jobs
    store = ResultStore(options.out)
    frame = sweep(study, n_jobs=jobs, store=store, progress=True, scheduler=options.scheduler)
    _report(study, frame, options.out)
    print(f"{len(frame)} runs in {time.perf_counter() - start:.0f} s; results in {options.out}")
    if options.record:
        print(f"recorded: {record(study, store.records(study.configs))}")
    failed = frame[frame.status != "finished"]
    for row in failed.itertuples():
        print(f"failed: {row.label}, seed {row.seed}: {row.error}", file=sys.stderr)
    return 1 if len(failed) else 0


def _show(options) -> int:
    study = _study(options)
    stored = ResultStore(options.out).records(study.configs) if options.out.exists() else {}
    if stored:
        frame = study.frame(stored)
    elif study.name in recorded_names():
        frame = recorded(study.name)
        frame = frame[frame.seed.isin(study.seeds)]
    else:
        raise ValueError(f"study {study.name!r} has no results in {options.out} and none recorded; run it first.")
    _report(study, frame, options.out)
    return 0


def _report(study: Study, frame, out: Path) -> None:
    """Print mean accuracy, instability and paired gain per method, and save the figure."""
    finished = frame[frame.status == "finished"]
    if finished.empty:
        return
    table = finished.groupby("label", sort=False)[["final_accuracy", "best_accuracy", "instability"]].mean()
    if "none" in table.index and finished.seed.nunique() >= 3:
        table = table.join(100 * gains(finished)[["gain", "low", "high"]])
    print(study.sentence)
    for explanation, expected in study.predictions.items():
        print(f"  {explanation} expects: {expected}")
    print(f"\n{table.round(3).to_string(na_rep='')}\n")
    from gst_tutorial.figures import plots

    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{study.name}.png"
    plots.accuracy_against_instability(finished).savefig(path, dpi=150)
    print(f"figure: {path}")


if __name__ == "__main__":
    sys.exit(main())
