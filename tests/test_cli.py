"""The command line as it is typed."""

import errno
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

import gst_tutorial as gst
from gst_tutorial import __main__ as cli
from gst_tutorial import studies
from gst_tutorial.book.studies import costs
from tests.studies.small_study import hear_ctrl_c, study


@pytest.fixture(autouse=True)
def a_quick_study(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where results go that are not told where
    monkeypatch.setitem(studies._all(), "quick", study())


def test_list_names_every_study_with_its_question(capsys):
    assert cli.main(["list"]) == 0
    printed = capsys.readouterr().out
    for name in studies.names():
        assert name in printed and studies.get(name).sentence in printed


def test_run_prints_a_table_and_saves_results_and_figure(tmp_path, capsys):
    assert cli.main(["run", "quick", "--jobs", "1", "--out", str(tmp_path), "--figure", "quick.png"]) == 0
    printed = capsys.readouterr().out
    assert "final_accuracy" in printed and "gain" in printed and str(tmp_path) in printed
    assert (tmp_path / "quick.png").stat().st_size > 5000
    assert len(list(tmp_path.glob("*.json"))) == 12


def test_cost_takes_the_spread_of_the_same_network_and_data():
    dose = gst.studies.get("dose")
    sd, source = costs.spread(dose)
    differences = [gst.statistics.paired_differences(gst.recorded("dose"), arm.label) for arm in dose.arms[1:]]
    assert sd == pytest.approx(np.median([d.std() for d in differences]))
    assert source == "study 'dose'"
    same_task = gst.Study("mine", "?", dose.arms[:2])
    assert costs.spread(same_task)[1] == "study 'dose-splits'"


def test_cost_quotes_no_other_networks_spread(capsys):
    assert costs.spread(studies.get("quick")) is None  # 100 training examples instead of 1,000
    assert cli.main(["cost", "quick", "--seeds", "2"]) == 0
    printed = capsys.readouterr().out
    assert "8 runs, 48 training steps" in printed and "min of one core" in printed
    assert "no recorded study has this network and data" in printed and "probability" not in printed


def test_new_writes_a_study_that_runs_and_is_drawn(tmp_path, capsys):
    assert cli.main(["new", "ours_to_change.py"]) == 0
    assert cli.main(["new", "ours_to_change.py"]) == 2  # and is not overwritten
    assert cli.main(["new", "not-a-module.py"]) == 2
    short = (tmp_path / "ours_to_change.py").read_text().replace("epochs=30", "n_train=60, n_test=60, epochs=16")
    (tmp_path / "ours_to_change.py").write_text(short)
    assert cli.main(["run", "ours_to_change.py", "--seeds", "1", "--jobs", "1", "--figure", "ours.png"]) == 0
    printed = capsys.readouterr().out
    assert "smallest, spread" in printed and "confidence" in printed and "4 runs in" in printed
    assert (tmp_path / "ours.png").stat().st_size > 5000


@pytest.mark.parametrize("command", ["cost", "run"])
def test_missing_device_is_named_before_any_work(command, capsys, tmp_path):
    assert cli.main([command, "quick", "--device", "cuda:99"]) == 2
    assert "device='cuda:99' is not available here" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_precision_reaches_every_run(tmp_path):
    assert cli.main(["run", "quick", "--seeds", "1", "--jobs", "1", "--precision", "bf16", "--out", str(tmp_path)]) == 0
    assert all('"precision": "bf16"' in path.read_text() for path in tmp_path.glob("*.json"))


@pytest.mark.parametrize(
    ("given", "jobs"),
    [
        ([], -1),
        (["--device", "cuda"], 1),
        (["--device", "cuda", "--jobs", "3"], 3),
        (["--device", "cuda", "--scheduler", "tcp://host:8786"], -1),  # with 1, joblib would not use the cluster
    ],
)
def test_study_takes_every_core_but_shares_a_gpu_only_if_told(monkeypatch, given, jobs):
    seen = []
    monkeypatch.setattr("gst_tutorial._arguments.device_here", lambda argument, value: value)
    monkeypatch.setattr(
        "gst_tutorial.studies.sweep.sweep", lambda study, n_jobs, **options: seen.append(n_jobs) or sys.exit()
    )
    with pytest.raises(SystemExit):
        cli.main(["run", "quick", *given])
    assert seen == [jobs]


def test_seeds_takes_the_first_seeds_of_the_study(tmp_path):
    assert cli.main(["run", "quick", "--seeds", "1", "--jobs", "1", "--out", str(tmp_path)]) == 0
    assert len(list(tmp_path.glob("*.json"))) == 4


def test_show_reads_the_results_in_out_and_runs_nothing(tmp_path, capsys):
    cli.main(["run", "quick", "--jobs", "1", "--out", str(tmp_path)])
    before = sorted(path.stat().st_mtime_ns for path in tmp_path.glob("*.json"))
    capsys.readouterr()
    assert cli.main(["show", "quick", "--out", str(tmp_path)]) == 0
    assert "smallest" in capsys.readouterr().out
    assert before == sorted(path.stat().st_mtime_ns for path in tmp_path.glob("*.json"))


def test_show_says_whose_results_it_shows_and_writes_nothing(tmp_path, capsys):
    cli.main(["run", "quick", "--seeds", "1", "--jobs", "1", "--out", "results"])
    before = sorted(tmp_path.rglob("*"))
    capsys.readouterr()
    assert cli.main(["show", "quick"]) == 0
    assert "your own results in results: 4 of 12 runs" in capsys.readouterr().out
    assert cli.main(["show", "dose"]) == 0
    assert "recorded with the package: 440 of 440 runs" in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before


def test_own_partial_results_never_replace_recorded_ones(tmp_path, capsys):
    dose = studies.get("dose").replace(seeds=(0,))
    record = {"status": "finished", "error": "", "events": [], "epochs": [], "result": dict.fromkeys(
        ("final_accuracy", "best_accuracy", "train_accuracy", "instability", "seconds"), 0.125)}  # fmt: skip
    gst.ResultStore(tmp_path / "results").write(dose.configs[0], record)
    assert cli.main(["show", "dose"]) == 0
    assert "440 of 440" in capsys.readouterr().out
    assert cli.main(["show", "dose", "--out", "results"]) == 0
    assert "your own results in results: 1 of 440" in capsys.readouterr().out


def test_more_seeds_than_the_study_has_are_refused(capsys):
    assert cli.main(["run", "quick", "--seeds", "100"]) == 2
    assert "--seeds 100: study 'quick' has 3 seeds" in capsys.readouterr().err


def test_result_folder_that_cannot_be_made_is_one_sentence(tmp_path, capsys):
    (tmp_path / "a_file").write_text("")
    assert cli.main(["run", "quick", "--jobs", "1", "--out", "a_file"]) == 3
    assert capsys.readouterr().err == "error: [Errno 20] path='a_file' cannot be made: Not a directory\n"


def test_full_disk_stops_a_study_and_says_how_to_resume(monkeypatch, capsys):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(gst.ResultStore, "write", full)  # on a real full disk: tests/studies/test_store.py
    assert cli.main(["run", "quick", "--jobs", "1", "--out", "mine"]) == 3
    assert capsys.readouterr().err.endswith(
        "No space left on device\nFinished runs are in mine; the same command resumes.\n"
    )


def test_help_does_not_wait_for_torch():
    program = (
        "import sys, gst_tutorial.__main__ as cli\ntry: cli.main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "examples:" in printed
    assert not {"torch", "numpy", "pandas", "pydantic"} & set(printed.splitlines()[-1].split())


def test_show_writes_all_rows_as_csv(tmp_path, capsys):
    assert cli.main(["show", "dose", "--csv", "dose.csv", "--seeds", "2"]) == 0
    assert "rows: dose.csv" in capsys.readouterr().out
    rows = pd.read_csv("dose.csv")
    assert rows.final_accuracy.tolist() == gst.recorded("dose").query("seed < 2").final_accuracy.tolist()


def test_show_prints_the_measures_of_a_study(capsys):
    assert cli.main(["show", "flatness"]) == 0
    assert "hessian_trace" in capsys.readouterr().out


def test_closed_pipe_leaves_no_traceback(tmp_path):
    command = f"{sys.executable} -m gst_tutorial list | head -1"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("study") and done.stderr == ""


def test_output_to_a_full_disk_is_one_sentence(tmp_path):
    command = f"{sys.executable} -m gst_tutorial list > /dev/full"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr == "error: [Errno 28] No space left on device\n"


def test_every_help_has_examples(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"gst-tutorial {gst.__version__}\n"
    for command in ("list", "run", "show", "cost", "scan"):
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        assert f"examples:\n  gst {command}" in capsys.readouterr().out


def test_show_without_results_says_so(tmp_path, capsys):
    assert cli.main(["show", "quick", "--out", str(tmp_path / "nothing")]) == 2
    assert "run it first" in capsys.readouterr().err


def test_failed_run_gives_exit_code_1_and_its_reason(tmp_path, capsys, monkeypatch):
    none = study()["none"]
    grid = {"none": none, "too fast": none.replace(optimizer="sgd", learning_rate=1e20)}
    monkeypatch.setitem(studies._all(), "quick", study(1, arms=grid))
    assert cli.main(["run", "quick", "--jobs", "1", "--out", str(tmp_path)]) == 1
    assert "too fast, seed 0" in capsys.readouterr().err


def test_misspelt_study_gives_exit_code_2_and_a_suggestion(capsys):
    assert cli.main(["run", "tradeof"]) == 2
    assert "Did you mean 'tradeoff'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["run"], ["run", "dose", "--seeds", "0"], ["dance"]])
def test_wrong_arguments_give_exit_code_2(arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2


def test_ctrl_c_prints_the_whole_command_that_resumes(monkeypatch, capsys, tmp_path):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("gst_tutorial.studies.sweep.sweep", stop)
    monkeypatch.setattr("gst_tutorial.studies.cost.study_cost", stop)
    given = ["run", "quick", "--seeds", "2", "--precision", "bf16", "--out", str(tmp_path)]
    assert cli.main(given) == 130
    assert f"gst {' '.join(given)}" in capsys.readouterr().err
    assert cli.main(["cost", "quick"]) == 130
    assert "Stopped" in capsys.readouterr().err


def test_ctrl_c_during_a_run_prints_how_to_resume(tmp_path):
    command = [sys.executable, "-m", "gst_tutorial", "run", "dose", "--jobs", "1", "--out", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("locks/*.owner")):  # the first run has begun
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "resume with:" in printed and f"run dose --jobs 1 --out {tmp_path}" in printed
    assert "Traceback" not in printed
    assert not list(tmp_path.glob("locks/*.owner"))
