"""Command line: list the studies, run one, show its results. `gst --help` explains."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import shlex
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import gst_tutorial

# Everything else is imported where it is needed: `gst --help` must not wait for torch.
if TYPE_CHECKING:
    from gst_tutorial.studies.study import Study

OUT = Path("results")
EXAMPLES = """
examples:
  gst list                        every study, with the question it answers and its cost
  gst run dose --seeds 3          a first look: 3 seeds on every core
  gst run dose                    all reported seeds; stop with Ctrl-C, run again to resume
  gst run dose --scheduler tcp://host:8786     the same on a Dask cluster
  gst run paper-fig2-vgg11 --device cuda     on a GPU; a recent one also takes --precision bf16
  gst cost paper-fig3             what it would take on this machine, from measured steps
  gst show dose                   the table of what is in the package; with --out DIR, of your own results
  gst new my_study.py             write a study of your own, to change; then: gst run my_study.py
  gst scan my_model.py:build --data folder:PATH     which layers of your network can be cut?

STUDY is a name that `gst list` prints, or a file of yours: study.py for all studies that it defines, study.py:NAME for one.

exit codes: 0 all runs finished; 1 some runs failed (their rows say why); 2 wrong arguments; 3 the system refused (disk,
folder, network: nothing finished is lost); 130 stopped by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP
"""
EXAMPLES_OF = {
    "list": ["gst list"],
    "new": ["gst new my_study.py"],
    "run": [
        "gst run dose --seeds 3                a first look: 3 seeds on every core",
        "gst run dose                          all reported seeds; stop with Ctrl-C, run again to resume",
        "gst run examples/study.py             a study of your own",
        "gst run dose --scheduler tcp://host:8786     on a Dask cluster",
        "gst run paper-fig2-vgg11 --device cuda --precision bf16     on a GPU of 2020 or newer",
    ],
    "show": [
        "gst show dose                         the results in the package",
        "gst show dose --out results           your own, as far as they are",
        "gst show dose --figure dose.png       and the figure as a file",
        "gst show dose --csv dose.csv          and all rows, for another program",
    ],
    "cost": [
        "gst cost paper-fig3                   what it would take on this machine, from measured steps",
        "gst cost examples/study.py",
    ],
    "scan": [
        "gst scan my_model.py:build --data folder:PATH     build() returns your trained network",
        "gst scan my_model.py:build --data digits --scores l2,ebn,random --draws 5",
        "gst scan my_model.py:build --data digits --budget .3 --by multiply-adds --epochs 2",
    ],
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    try:
        with _signals_stop():
            commands = {"list": _list, "new": _new, "run": _run, "show": _show, "cost": _cost, "scan": _scan}
            code = commands[options.command](options)
            sys.stdout.flush()
            return code
    except (ValueError, TypeError, ImportError, FileNotFoundError, FileExistsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `gst list | head`: whoever read has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        if options.command in ("run", "scan") and options.out.is_dir():
            print(f"Finished runs are in {options.out}; the same command resumes.", file=sys.stderr)
        return 3
    except KeyboardInterrupt as stopped:
        print("\nStopped.", file=sys.stderr)
        if options.command in (
            "run",
            "scan",
        ):  # the very same command: another device or precision would be another study
            command = f"gst {shlex.join(arguments)}"
            print(f"Finished runs are in {options.out}; resume with:\n  {command}", file=sys.stderr)
        return 128 + getattr(stopped, "number", signal.SIGINT)


class _Stopped(KeyboardInterrupt):
    """Ctrl-C, or the system asks the process to end.

    A class of its own, since CPython remembers a plain KeyboardInterrupt that passed through code given as text (a
    dataclass being made while a module is imported, say) and then dies of the signal, whatever `main` returns.
    """


@contextlib.contextmanager
def _signals_stop():
    """Inside, SIGINT, SIGTERM and SIGHUP all raise `_Stopped`, so that workers end and what is finished is kept."""

    def stop(number, frame):
        stopped = _Stopped()
        stopped.number = number
        raise stopped

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
    parser.add_argument("--version", action="version", version=f"gst-tutorial {gst_tutorial.__version__}")
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, help: str) -> argparse.ArgumentParser:
        examples = "examples:\n" + "\n".join(f"  {line}" for line in EXAMPLES_OF[name])
        raw = argparse.RawDescriptionHelpFormatter
        return commands.add_parser(name, help=help, description=help, epilog=examples, formatter_class=raw)

    add("list", "every study: name, runs, estimated time, question")
    add("new", "write a file with a study of your own, to change").add_argument(
        "file", type=Path, metavar="FILE", help="a new file, such as my_study.py"
    )
    run = add("run", "run what is missing of a study and save every result")
    show = add("show", "print the table of a study: recorded with the package, or your own")
    cost = add("cost", "time a few training steps here and estimate what a study takes")
    for command in (run, cost):
        command.add_argument("--device", metavar="NAME", help="cpu (default), cuda, or another of torch's")
        command.add_argument(
            "--precision", metavar="NAME", help="float32 (default), or bf16 for GPUs since Ampere (2020)"
        )
        command.add_argument("--compiled", action="store_const", const=True, help="torch.compile; CUDA graphs on a GPU")
    for command in (run, show, cost):
        several = {"nargs": "*"} if command is cost else {}  # none: all of them
        command.add_argument(
            "study", metavar="STUDY", help="a name that `list` prints, a file study.py, or study.py:NAME", **several
        )
        command.add_argument("--seeds", type=_positive, metavar="N", help="only the first N of the study's seeds")
    run.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"result folder (default: {OUT})")
    show.add_argument("--out", type=Path, metavar="DIR", help="show your own results in this folder")
    for command in (run, show):
        command.add_argument("--figure", type=Path, metavar="FILE", help="also save the figure: .png, .svg, .pdf")
        command.add_argument("--csv", type=Path, metavar="FILE", help="also save a row per run: settings and results")
    run.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="processes, one thread each (default: every core or worker; on a GPU here, 1)",
    )
    run.add_argument("--scheduler", metavar="ADDR", help="a Dask scheduler, e.g. tcp://127.0.0.1:8786")
    run.add_argument("--record", action="store_true", help="also write the CSV and JSON that the package carries")
    cost.add_argument("--record", action="store_true", help="keep it for `list`")
    _add_scan(add("scan", "cut every layer of your network by every fraction; figure, table, report and a plan"))
    return parser


def _add_scan(scan: argparse.ArgumentParser) -> None:
    scan.add_argument(
        "network", metavar="FILE:FUNCTION", help="returns the trained network; or package.module:function"
    )
    scan.add_argument("--data", required=True, metavar="NAME", help="folder:PATH, digits, package.module:function ...")
    scan.add_argument("--image-size", type=_positive, metavar="N", help="resize a folder's pictures to N pixels a side")
    scan.add_argument(
        "--out", type=Path, default=Path("scan"), metavar="DIR", help="folder of the results (default: scan)"
    )
    scan.add_argument("--layers", type=_names, metavar="A,B", help="only these layers")
    scan.add_argument("--fractions", type=_numbers, metavar="F,G", help="of a layer's filters (default: .1,.2, ... .9)")
    scan.add_argument("--scores", type=_names, default=["l2", "random"], metavar="S,T", help="(default: l2,random)")
    scan.add_argument("--draws", type=_positive, default=3, metavar="N", help="of random filters (default: 3)")
    scan.add_argument(
        "--examples", type=_positive, default=1000, metavar="N", help="at most N held-out ones (default: 1000)"
    )
    scan.add_argument("--budget", type=float, metavar="F", help="also plan a pruning that leaves this share")
    scan.add_argument(
        "--by", default="parameters", choices=["parameters", "multiply-adds"], help="what the budget counts"
    )
    scan.add_argument("--epochs", type=_positive, metavar="N", help="also train each cut network for N epochs")
    scan.add_argument(
        "--learning-rate", type=float, default=2e-4, metavar="F", help="of that training (default: 0.0002)"
    )


def _names(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} must be at least 1")
    return value


def _studies(options, name: str) -> list[Study]:
    """Return the studies that an argument names, changed as the options say."""
    from gst_tutorial import studies

    changes = {name: getattr(options, name, None) for name in ("device", "precision", "compiled")}
    changes = {name: value for name, value in changes.items() if value is not None}
    found = []
    for study in studies.find(name):
        study = study.replace_in_runs(**changes) if changes else study
        if options.seeds is not None:
            if options.seeds > len(study.seeds):
                raise ValueError(
                    f"--seeds {options.seeds}: study {study.name!r} has {len(study.seeds)} seeds. For more, write a file with "
                    f"STUDY = gst_tutorial.studies.get({study.name!r}).replace(seeds=range({options.seeds}))."
                )
            study = study.replace(seeds=study.seeds[: options.seeds])
        found.append(study)
    return found


def _list(options) -> int:
    from gst_tutorial import studies
    from gst_tutorial.book.recorded import provenance_of, recorded_names
    from gst_tutorial.book.studies import costs
    from gst_tutorial.book.studies.history import SUPERSEDED
    from gst_tutorial.studies import cost as costing

    seeds = {name: len(provenance_of(name)["seeds"]) for name in recorded_names()}
    hours = costs.recorded_costs().set_index("study").hours  # measured on the machine that recorded the studies
    print(f"{'study':<20} {'runs':>5} {'core time':>10}  {'recorded':<8}  question")
    for name in studies.names():
        study = studies.get(name)
        time_needed = costing.in_words(hours[name]) if name in hours else "not known"
        found = f"{seeds[name]} seeds" if name in seeds else "no"
        note = f" (superseded by {SUPERSEDED[name]})" if name in SUPERSEDED else ""
        print(f"{name:<20} {len(study):>5} {time_needed:>10}  {found:<8}  {study.sentence}{note}")
    return 0


def _new(options) -> int:
    file = options.file
    if file.suffix != ".py" or not file.stem.isidentifier():
        raise ValueError(f"FILE={str(file)!r} must be named like a Python module, such as my_study.py.")
    text = (Path(__file__).parent / "studies" / "template.py").read_text(encoding="utf-8")
    with open(file, "x", encoding="utf-8") as new:
        new.write(text.replace("my_study", file.stem))
    print(f"{file} is a study that runs as it is: gst run {file}")
    return 0


def _cost(options) -> int:
    from gst_tutorial import studies
    from gst_tutorial.book.studies import costs
    from gst_tutorial.statistics import power
    from gst_tutorial.studies import cost as costing

    for study in [study for name in options.study or studies.names() for study in _studies(options, name)]:
        cost = costs.record_cost(study) if options.record else costing.study_cost(study)
        print(
            f"{study.sentence}\n{cost['runs']} runs, {cost['steps']:,} training steps of {cost['step_seconds']:.3g} s "
            f"here: about {costing.in_words(cost['hours'])} of one {'core' if options.device in (None, 'cpu') else 'GPU'}"
        )
        n, known = len(study.seeds), costs.spread(study)
        if n > 1 and known is not None:
            print(
                f"With {n} seeds, a true difference of one percentage point is found with probability "
                f"{power(0.01, known[0], n):.0%}, if paired differences vary between seeds as in {known[1]} (standard "
                f"deviation {100 * known[0]:.1f} points)"
            )
        elif n > 1:
            print(
                f"How small a difference {n} seeds can find is not known: no recorded study has this network and data. A "
                "few seeds, run first, will show how much differences vary."
            )
    return 0


def _run(options) -> int:
    return max(_run_one(options, study) for study in _studies(options, options.study))


def _run_one(options, study: Study) -> int:
    from gst_tutorial import _arguments as check
    from gst_tutorial.book.recorded import check_record, record
    from gst_tutorial.studies.store import ResultStore
    from gst_tutorial.studies.sweep import sweep

    start = time.perf_counter()
    if options.record:
        check_record(study)
    devices = {config.device for config in study.configs}
    if not options.scheduler:  # a cluster's workers may have what this machine has not
        for device in devices:
            check.device_here("device", device)
    one_gpu = devices != {"cpu"} and not options.scheduler  # each process would hold its own copy of the data on it
    jobs = (1 if one_gpu else -1) if options.jobs is None else options.jobs
    store = ResultStore(options.out)
    frame = sweep(study, n_jobs=jobs, store=store, progress=True, scheduler=options.scheduler)
    _report(study, frame, options)
    print(f"{len(frame)} runs in {time.perf_counter() - start:.0f} s; results in {options.out}")
    if options.record:
        print(f"recorded: {record(study, store.records(study.configs))}")
    failed = frame[frame.status != "finished"]
    for row in failed.itertuples():
        print(f"failed: {row.label}, seed {row.seed}: {row.error}", file=sys.stderr)
    return 1 if len(failed) else 0


def _show(options) -> int:
    from gst_tutorial.studies.sweep import in_words

    for study in _studies(options, options.study):
        frame, source = _found(study, options.out)
        print(f"{source}: {len(frame)} of {len(study)} runs")
        if frame.attrs.get("mixed"):
            print(f"These runs mix {in_words(frame.attrs['mixed'])}.")
        _report(study, frame, options)
    return 0


def _found(study: Study, out: Path | None):
    """Return the results of a study, and where they come from; recorded ones are never replaced by the user's own."""
    from gst_tutorial import studies
    from gst_tutorial.book.recorded import recorded, recorded_names
    from gst_tutorial.studies.store import ResultStore

    if out is None and study.name in recorded_names() and study.arms == studies.get(study.name).arms:
        frame = recorded(study.name)
        return frame[frame.seed.isin(study.seeds)], "recorded with the package"
    folder = OUT if out is None else out
    frame = study.frame(ResultStore(folder).records(study.configs)) if folder.is_dir() else []
    if not len(frame):
        raise ValueError(f"study {study.name!r} has no results in {folder} and none recorded; run it first.")
    return frame, f"your own results in {folder}"


def _scan(options) -> int:
    """Scan on at most two thirds of the test examples; the others measure the plan, which they have not chosen."""
    import torch

    from gst_tutorial import networks, studies
    from gst_tutorial.book import scan_report
    from gst_tutorial.data import load
    from gst_tutorial.planning import compare
    from gst_tutorial.scanning import FRACTIONS, scan
    from gst_tutorial.training import Recipe

    file, _, function = options.network.rpartition(":")
    reference = f"{studies.import_file(file)}:{function}" if file.endswith(".py") else options.network
    data = load(options.data, image_size=options.image_size)
    shape = {"input_shape": data.input_shape, "width": 1.0, "dropout": 0.0, "filter_dropout": 0.0}
    model = networks.network(reference).build(data.n_classes, **shape)
    order = torch.randperm(len(data.y_test), generator=torch.Generator().manual_seed(0))
    x, y, n = data.x_test[order], data.y_test[order], min(options.examples, max(1, 2 * len(order) // 3))
    recipe = options.epochs and Recipe(epochs=options.epochs, learning_rate=options.learning_rate, annealing="cosine")
    frame = scan(
        model,
        dataclasses.replace(data, x_test=x[:n], y_test=y[:n]),
        fractions=options.fractions or FRACTIONS,
        scores=options.scores,
        draws=options.draws,
        layers=options.layers,
        recipe=recipe,
        path=options.out / "scan.jsonl",
        progress=True,
    )
    comparison = None
    if options.budget is not None:
        budget, seen = (options.by, options.budget), (data.x_train[:1000], data.y_train[:1000])
        comparison = compare(model, frame, budget, x[n : 2 * n], y[n : 2 * n], x_score=seen)
        print(comparison.round(3).to_string(), end="\n\n")
    frame.to_csv(options.out / "scan.csv", index=False)
    scan_report.figure(frame).savefig(options.out / "scan.png", dpi=150)
    page = scan_report.report(frame, options.network, comparison)
    (options.out / "scan.html").write_text(page, encoding="utf-8")
    print(f"{len(frame)} cuts; scan.csv, scan.png and scan.html are in {options.out}")
    return 0


def _report(study: Study, frame, options) -> None:
    """Print means, and paired gains over "none", per arm; save the rows and the figure if files are named."""
    from gst_tutorial.statistics import gains

    if options.csv is not None:
        frame.to_csv(options.csv, index=False)
        print(f"rows: {options.csv}")
    finished = frame[frame.status == "finished"]
    if finished.empty:
        return
    columns = list(frame.columns)
    results = columns[columns.index("hash") + 1 : columns.index("status")]
    measures = [name for name in results if name not in ("train_accuracy", "seconds")]
    table = finished.groupby("label", sort=False)[measures].mean()
    if "none" in table.index and finished.seed.nunique() >= 3:
        table = table.join(100 * gains(finished)[["gain", "low", "high"]])
    print(study.sentence)
    for explanation, expected in study.predictions.items():
        print(f"  {explanation} expects: {expected}")
    print(f"\n{table.round(3).to_string(na_rep='')}\n")
    if options.figure is not None:
        from gst_tutorial.book.figures import plots

        plots.accuracy_against_instability(finished).savefig(options.figure, dpi=150, bbox_inches="tight")
        print(f"figure: {options.figure}")


if __name__ == "__main__":
    sys.exit(main())
