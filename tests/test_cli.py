"""The command line as it is typed."""

import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import gst_tutorial as gst
from gst_tutorial import __main__ as cli
from gst_tutorial import studies
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


def test_run_prints_a_table_saves_a_figure_if_asked_and_says_where(tmp_path, capsys):
    assert cli.main(["run", "quick", "--jobs", "1", "--out", str(tmp_path), "--figure", "quick.png"]) == 0
    printed = capsys.readouterr().out
    assert "final_accuracy" in printed and "gain" in printed and str(tmp_path) in printed
    assert (tmp_path / "quick.png").stat().st_size > 5000
    assert len(list(tmp_path.glob("*.json"))) == 12


def test_cost_says_what_the_seeds_can_find(capsys):
    assert cli.main(["cost", "quick", "--seeds", "2"]) == 0
    few = float(re.search(r"2 seeds find .* probability (\d+)%", capsys.readouterr().out)[1])
    sd, source = cli.costs.spread(gst.studies.get("dose"))
    differences = [
        gst.statistics.paired_differences(gst.recorded("dose"), arm.label) for arm in gst.studies.get("dose").arms[1:]
    ]
    assert sd == pytest.approx(np.median([d.std() for d in differences]))
    assert source == "study 'dose'"
    guessed, _ = cli.costs.spread(studies.get("quick"))  # not recorded
    assert few == round(100 * gst.statistics.power(0.01, guessed, 2)) < 30


def test_cost_times_a_few_steps_and_says_what_the_study_takes(capsys):
    assert cli.main(["cost", "quick", "--seeds", "2"]) == 0
    printed = capsys.readouterr().out
    assert "8 runs, 48 training steps" in printed and "min of one core" in printed


@pytest.mark.parametrize("command", ["cost", "run"])
def test_a_device_that_is_not_here_is_named_before_any_work(command, capsys, tmp_path):
    assert cli.main([command, "quick", "--device", "cuda:99"]) == 2
    assert "device='cuda:99' is not available here" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_compiled_reaches_every_run(monkeypatch):
    seen = []
    monkeypatch.setattr(cli, "sweep", lambda study, **options: seen.append(study) or sys.exit())
    for given, expected in ((["--compiled"], True), ([], False)):
        with pytest.raises(SystemExit):
            cli.main(["run", "quick", *given])
        assert {config.recipe.compiled for config in seen[-1].configs} == {expected}


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
def test_a_study_takes_every_core_or_worker_but_shares_a_gpu_only_when_told_to(monkeypatch, given, jobs):
    seen = []
    monkeypatch.setattr(cli.check, "device_here", lambda argument, value: value)
    monkeypatch.setattr(cli, "sweep", lambda study, n_jobs, **options: seen.append(n_jobs) or sys.exit())
    with pytest.raises(SystemExit):
        cli.main(["run", "quick", *given])
    assert seen == [jobs]


def test_seeds_takes_the_first_seeds_of_the_study(tmp_path):
    assert cli.main(["run", "quick", "--seeds", "1", "--jobs", "1", "--out", str(tmp_path)]) == 0
    assert len(list(tmp_path.glob("*.json"))) == 4


def test_show_takes_the_results_in_out_and_runs_nothing(tmp_path, capsys):
    cli.main(["run", "quick", "--jobs", "1", "--out", str(tmp_path)])
    before = sorted(path.stat().st_mtime_ns for path in tmp_path.glob("*.json"))
    capsys.readouterr()
    assert cli.main(["show", "quick", "--out", str(tmp_path)]) == 0
    assert "smallest" in capsys.readouterr().out
    assert before == sorted(path.stat().st_mtime_ns for path in tmp_path.glob("*.json"))


def test_show_says_whose_results_they_are_and_how_many_and_writes_nothing(tmp_path, capsys):
    cli.main(["run", "quick", "--seeds", "1", "--jobs", "1", "--out", "results"])
    before = sorted(tmp_path.rglob("*"))
    capsys.readouterr()
    assert cli.main(["show", "quick"]) == 0
    assert "your own results in results: 4 of 12 runs" in capsys.readouterr().out
    assert cli.main(["show", "dose"]) == 0
    assert "recorded with the package: 440 of 440 runs" in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before


def test_a_partial_run_of_ones_own_never_stands_for_what_is_recorded(tmp_path, capsys):
    dose = studies.get("dose").replace(seeds=(0,))
    record = {"status": "finished", "error": "", "events": [], "epochs": [], "result": dict.fromkeys(
        ("final_accuracy", "best_accuracy", "train_accuracy", "instability", "seconds"), 0.125)}  # fmt: skip
    gst.ResultStore(tmp_path / "results").write(dose.configs[0], record)
    assert cli.main(["show", "dose"]) == 0
    assert "440 of 440" in capsys.readouterr().out
    assert cli.main(["show", "dose", "--out", "results"]) == 0
    assert "your own results in results: 1 of 440" in capsys.readouterr().out


def test_more_seeds_than_a_study_has_are_not_clipped_in_silence(capsys):
    assert cli.main(["run", "quick", "--seeds", "100"]) == 2
    assert "--seeds 100: study 'quick' has 3 seeds" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["/proc/x", "/dev/null", "/dev/full", "a_file"])
def test_a_folder_that_cannot_be_is_one_sentence_and_exit_code_3(tmp_path, out):
    (tmp_path / "a_file").write_text("")
    command = [sys.executable, "-m", "gst_tutorial", "run", "dose", "--seeds", "1", "--jobs", "1", "--out", out]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode in (2, 3), done.stderr
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1


def test_a_closed_pipe_leaves_no_traceback(tmp_path):
    command = f"{sys.executable} -m gst_tutorial list | head -1"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("study") and done.stderr == ""


def test_a_full_disk_is_one_sentence(tmp_path):
    command = f"{sys.executable} -m gst_tutorial list > /dev/full"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr == "error: [Errno 28] No space left on device\n"


def test_version_and_examples_in_every_help(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"gst-tutorial {gst.__version__}\n"
    for command in ("list", "run", "show", "cost"):
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        assert f"examples:\n  gst {command}" in capsys.readouterr().out


def test_show_without_any_results_says_so(tmp_path, capsys):
    assert cli.main(["show", "quick", "--out", str(tmp_path / "nothing")]) == 2
    assert "run it first" in capsys.readouterr().err


def test_a_failed_run_gives_exit_code_1_and_its_reason(tmp_path, capsys, monkeypatch):
    none = study()["none"]
    grid = {"none": none, "too fast": none.replace(optimizer="sgd", learning_rate=1e20)}
    monkeypatch.setitem(studies._all(), "quick", study(1, arms=grid))
    assert cli.main(["run", "quick", "--jobs", "1", "--out", str(tmp_path)]) == 1
    assert "too fast, seed 0" in capsys.readouterr().err


def test_a_misspelt_study_gives_exit_code_2_and_a_suggestion(capsys):
    assert cli.main(["run", "tradeof"]) == 2
    assert "Did you mean 'tradeoff'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["run"], ["run", "dose", "--seeds", "0"], ["dance"]])
def test_wrong_arguments_give_exit_code_2(arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2


def test_help_teaches_with_examples_and_exit_codes(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "examples:" in printed and "exit codes:" in printed and "resume" in printed


def test_ctrl_c_says_the_whole_command_and_leaves_no_traceback_where_nothing_can_be_resumed(
    monkeypatch, capsys, tmp_path
):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "sweep", stop)
    monkeypatch.setattr(cli.costs, "study_cost", stop)
    given = ["run", "quick", "--seeds", "2", "--precision", "bf16", "--out", str(tmp_path)]
    assert cli.main(given) == 130
    assert f"gst {' '.join(given)}" in capsys.readouterr().err
    assert cli.main(["cost", "quick"]) == 130
    assert "Stopped" in capsys.readouterr().err


def test_ctrl_c_in_code_given_as_text_does_not_change_the_exit_code(tmp_path):
    (tmp_path / "stopped.py").write_text(
        "import sys\n"
        "import os, signal\n"
        "import gst_tutorial.__main__ as cli\n"
        "def stop(*arguments, **options): os.kill(os.getpid(), signal.SIGINT)\n"
        "cli.sweep = lambda *arguments, **options: eval('stop()')\n"
        "sys.exit(cli.main())\n"
    )
    command = [sys.executable, "-m", "stopped", "run", "dose"]
    stopped = subprocess.run(command, cwd=tmp_path, capture_output=True)
    assert stopped.returncode == 130
    assert b"resume with:" in stopped.stderr


def test_ctrl_c_leaves_a_message_that_says_how_to_resume(tmp_path):
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
