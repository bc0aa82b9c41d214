"""A study of the user's own: every part of a config may be one of the user's functions."""

import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

import gst_tutorial as gst
from gst_tutorial import references, studies
from gst_tutorial.data.images import folder_fingerprint
from gst_tutorial.studies.provenance import versions
from tests.studies import own_functions as own

HERE = "tests.studies.own_functions"
OWN = gst.RunConfig(
    data=own.stripes,
    model=own.small_net,
    n_train=60,
    n_test=60,
    epochs=6,
    batch_size=20,
    milestones=(),
    learning_rate=0.01,
)
PRUNED = OWN.replace(intervention="prune", layers=("0",), prune_fraction=0.5, schedule=(1, 3))


def test_function_becomes_its_name_and_survives_json():
    assert OWN.model == f"{HERE}:small_net"
    assert gst.RunConfig(model=f"{HERE}:small_net", data=f"{HERE}:stripes").model == OWN.model
    assert gst.RunConfig.from_dict(PRUNED.to_dict()) == PRUNED


@pytest.mark.parametrize(
    ("field", "value"),
    [("score", own.from_the_end), ("intervention", own.half_turn), ("optimizer", own.rms), ("loss", own.focal),
     ("schedule", own.at_squares), ("measures", (own.confidence,)), ("model", "torchvision.models:resnet18")],
)  # fmt: skip
def test_each_part_may_be_a_function_and_changes_the_hash(field, value):
    config = PRUNED.replace(**{field: value})
    assert config.hash != PRUNED.hash
    assert gst.RunConfig.from_dict(config.to_dict()).hash == config.hash


def test_own_functions_give_the_same_numbers_in_workers():
    config = PRUNED.replace(
        score=own.from_the_end, optimizer=own.rms, loss=own.focal, schedule=own.at_squares,
        measures=(own.confidence, own.two_numbers),
    )  # fmt: skip
    arms = {"none": OWN, "mine": config, "turned": config.replace(intervention=own.half_turn, size=2.0)}
    study = gst.Study("mine", "Does it run?", arms, seeds=(0, 1))
    here, there = gst.sweep(study, n_jobs=1), gst.sweep(study, n_jobs=2)
    assert (there.status == "finished").all(), there.error.tolist()
    assert there.final_accuracy.tolist() == here.final_accuracy.tolist()
    mine = there[there.label == "mine"]
    assert mine.n_test.tolist() == [60, 60] and mine.confidence.between(1 / 3, 1).all()
    assert there[there.label == "none"].final_accuracy.mean() > 0.9


def test_own_score_decides_which_filters_are_pruned():
    result = gst.run(PRUNED.replace(score=own.from_the_end))
    assert result.events.n_filters.tolist() == [2, 2]
    assert gst.prunable_layers(result.model)["0"].mask.mask.tolist() == [1] * 4 + [0] * 4


def test_own_intervention_may_hit_the_inputs_of_the_head():
    result = gst.run(PRUNED.replace(intervention=own.forget_inputs, layers=("4",), schedule=(1,), draws="afresh"))
    assert result.events.n_filters.tolist() == [256]


def test_own_loss_is_minimized():
    torch.manual_seed(0)
    logits, y = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    recipe = gst.Recipe(loss=own.focal)
    assert recipe.build_loss()(logits, y) == own.focal(logits, y)
    first = gst.run(OWN.replace(loss=own.focal, epochs=1)).epochs.train_loss[0]
    assert first < gst.run(OWN.replace(epochs=1)).epochs.train_loss[0] / 1.5  # (1 - p)^2 of the cross entropy


def test_torchvision_network_gets_masks_and_the_classes_of_the_data():
    config = gst.RunConfig(data=own.stripes, model="torchvision.models:squeezenet1_1", epochs=1, milestones=())
    with pytest.raises(ValueError, match=r"expected input.* to have 3 channels"):
        gst.run(config)
    network = gst.networks.network("torchvision.models:resnet18")
    model = network.build(7, input_shape=(3, 32, 32), width=1.0, dropout=0.0, filter_dropout=0.0)
    assert model.fc.out_features == 7 and "layer4.1.conv1" in gst.prunable_layers(model)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"model": lambda n_classes: None}, "model=.*cannot be imported by another process"),
        ({"model": "no_such_module:net"}, "model='no_such_module:net': No module named 'no_such_module'"),
        ({"model": f"{HERE}:small_nut"}, "has no 'small_nut'. Its functions: .*small_net"),
        ({"model": f"{HERE}:N_STRIPES"}, "is a int, not a function"),
        ({"width": 0.5}, "small_net takes no argument 'width'"),
        ({"n_train": 30, "data": f"{HERE}:half_turn"}, "half_turn takes no argument 'n_train'"),
        ({"intervention": "prune"}, "layers=None: name the layers of model="),
        ({"layers": ("1",), "intervention": "prune", "schedule": (1,)}, "layers='1' is not known"),
        ({"loss": own.focal, "label_smoothing": 0.1}, "label_smoothing=0.1 needs loss='cross_entropy'"),
    ],
)  # fmt: skip
def test_unusable_function_is_refused_before_training(changes, error):
    with pytest.raises(ValueError, match=error):
        gst.Experiment(OWN.replace(**changes))


@pytest.mark.parametrize(("name", "error"), [("a_text", "not a number or a dict"), ("taken", "every run has already")])
def test_measure_must_return_numbers_with_new_names(name, error):
    with pytest.raises((TypeError, ValueError), match=error):
        gst.run(OWN.replace(epochs=1, measures=(f"{HERE}:{name}",)))


# --- what is hashed, and what is reported -----------------------------------------------------------------------------


def test_schedule_of_another_class_is_hashed_by_its_epochs():
    class Late:
        epochs = (2, 4)

    assert PRUNED.replace(schedule=Late()).schedule == gst.PruneSchedule(2, 4, 2)
    assert PRUNED.replace(schedule=Late()).hash == PRUNED.replace(schedule=(2, 4)).hash != PRUNED.hash


def test_function_of_epochs_is_a_schedule():
    assert PRUNED.replace(schedule=own.at_squares, epochs=12).event_epochs == (1, 4, 9)


FILES = {
    "mine.py": "import torch\nfrom package import helper\ndef score(layer, model, x): return helper.sign(x)\n",
    "package/__init__.py": "",
    "package/helper.py": "from .deep import SIGN\ndef sign(x): return SIGN * x\n",
    "package/deep.py": "SIGN = 1\n",
    "package/other.py": "SIZE = 2\n",
}


@pytest.mark.parametrize(
    ("file", "changes"),
    [("mine.py", True), ("package/helper.py", True), ("package/deep.py", True), ("package/__init__.py", True),
     ("package/other.py", False)],
)  # fmt: skip
def test_source_hash_covers_every_imported_file_of_the_user(tmp_path, file, changes):
    hashes = []
    for text in ("", "# another line\n"):
        for name, content in FILES.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(content + (text if name == file else ""))
        program = "from gst_tutorial import references; print(references.source_hash('mine:score'))"
        hashes.append(run_script(tmp_path, "-c", program).stdout)
    assert (hashes[0] != hashes[1]) is changes


def test_installed_packages_count_by_name_only():
    assert references._user_files("torch.optim") == references._user_files("json") == {}
    assert references.source_hash("torch.optim:RMSprop") != references.source_hash("torch.optim:Adam")


SCRIPT = """
import gst_tutorial as gst
{function}
def score(layer, model, x):
    return layer.conv.weight.detach().flatten(1).norm(dim=1) * FACTOR
config = gst.RunConfig(n_train=100, n_test=100, epochs=3, milestones=(), intervention="prune", prune_fraction=0.6,
                       schedule=(1,), score=score)
STUDY = gst.Study("mine", "Which filters?", [gst.Arm(config, {{"what": "mine"}})], seeds=(0,))
if __name__ == "__main__":
    frame = gst.sweep(STUDY, n_jobs=2, store="results")
    print(frame.status.tolist(), frame.instability.tolist(), frame.error.tolist())
"""


def run_script(folder, *command):
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=180,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def test_changed_helper_in_another_module_is_a_new_experiment(tmp_path):
    (tmp_path / "my_study.py").write_text(SCRIPT.format(function="from my_helper import FACTOR"))
    (tmp_path / "my_helper.py").write_text("FACTOR = 1")
    first = run_script(tmp_path, "my_study.py")
    assert first.stdout.startswith("['finished']"), first.stdout
    again = run_script(tmp_path, "my_study.py")
    assert again.stdout == first.stdout and "another version" not in again.stderr
    (tmp_path / "my_helper.py").write_text("FACTOR = -1")
    changed = run_script(tmp_path, "my_study.py")
    assert "was made with another version of my_study:score" in changed.stderr
    assert changed.stdout != first.stdout
    assert len(list((tmp_path / "results").glob("*.json.outdated"))) == 1


def test_changed_data_file_is_a_new_experiment(tmp_path):
    (tmp_path / "mine.py").write_text("def data(): ...\ndata.files = ['signals.csv']\n")
    hashes = []
    for text in ("1, 2", "1, 3", "1, 2"):
        (tmp_path / "signals.csv").write_text(text)
        program = "from gst_tutorial import references; print(references.source_hash('mine:data'))"
        hashes.append(run_script(tmp_path, "-c", program).stdout)
    assert hashes[0] == hashes[2] != hashes[1]


def test_changed_folder_of_pictures_is_a_new_experiment(tmp_path):
    for part in ("train", "test"):
        (tmp_path / part / "cat").mkdir(parents=True)
        (tmp_path / part / "cat" / "1.png").write_bytes(b"a picture")
    config = gst.RunConfig(data=f"folder:{tmp_path}", model="conv2d", image_size=8)
    before = config.sources
    assert list(before) == [config.data]
    (tmp_path / "train" / "cat" / "2.png").write_bytes(b"another")
    folder_fingerprint.cache_clear()
    assert config.sources != before
    assert config.replace(data="folder:on_another_machine").sources == {}


def test_study_file_runs_from_the_command_line(tmp_path):
    (tmp_path / "my_study.py").write_text(SCRIPT.format(function="FACTOR = 1"))
    command = ("-m", "gst_tutorial")
    done = run_script(tmp_path, *command, "run", "my_study.py", "--jobs", "2")
    assert "1 runs in" in done.stdout
    assert "1 of 1 runs" in run_script(tmp_path, *command, "show", "my_study.py:mine").stdout
    assert "1 runs, 3 training steps" in run_script(tmp_path, *command, "cost", "my_study.py").stdout


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [("empty_study.py", "x = 1", "defines no gst.Study"), ("json.py", "x = 1", "another module is called 'json'")],
)
def test_file_without_a_study_is_refused(tmp_path, name, text, error):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=error):
        studies.find(str(tmp_path / name))
    with pytest.raises(FileNotFoundError):
        studies.find(str(tmp_path / "nothing.py"))


# --- the engine -------------------------------------------------------------------------------------------------------


def test_study_that_mixes_versions_says_so(tmp_path):
    study = gst.Study("two", "?", {"none": OWN.replace(epochs=1)}, seeds=(0, 1))
    store = gst.ResultStore(tmp_path)
    gst.sweep(study, n_jobs=1, store=store)
    record = store.read(study.configs[0])
    assert record["made"].keys() - versions().keys() == {"processor", "device", "threads", "date"}
    assert record["made"]["threads"] == "1"
    store.write(study.configs[0], {**record, "made": {**record["made"], "torch": "1.13"}})
    with pytest.warns(UserWarning, match=r"mixes torch 1\.13 and "):
        frame = gst.sweep(study, n_jobs=1, store=store)
    assert frame.attrs["mixed"] == {"torch": ["1.13", torch.__version__]}


def test_run_that_the_system_kills_is_recorded_as_failed(tmp_path):
    arms = {"none": OWN.replace(epochs=1), "deadly": OWN.replace(model=own.dies, epochs=1)}
    frame = gst.sweep(gst.Study("deadly", "?", arms, seeds=(0, 1)), n_jobs=2, store=tmp_path)
    assert frame.set_index(["label", "seed"]).status.to_dict() == {
        ("none", 0): "finished", ("none", 1): "finished", ("deadly", 0): "failed", ("deadly", 1): "failed"
    }  # fmt: skip
    assert frame[frame.label == "deadly"].error.str.contains("ended the process of this run 2 times").all()


def test_runs_in_threads_give_the_numbers_of_runs_alone():
    configs = [gst.RunConfig(n_train=100, n_test=100, epochs=2, milestones=(), seed=seed) for seed in range(4)]
    alone = [gst.run(config).final_accuracy for config in configs]
    together: dict[int, float] = {}
    threads = [
        threading.Thread(target=lambda c=c: together.update({c.seed: gst.run(c).final_accuracy})) for c in configs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[config.seed] for config in configs] == alone


# --- the recipe -------------------------------------------------------------------------------------------------------


def rates(recipe):
    model = torch.nn.Linear(1, 1)
    optimizer = recipe.build_optimizer(model)
    scheduler, found = recipe.build_scheduler(optimizer), []
    for _ in range(recipe.epochs):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_cosine_and_warm_up_are_their_formulas():
    recipe = gst.Recipe(learning_rate=0.4, epochs=13, annealing="cosine", warmup_epochs=3)
    expected = [0.4 * (i + 1) / 4 for i in range(3)] + [0.2 * (1 + math.cos(math.pi * t / 10)) for t in range(10)]
    assert rates(recipe) == pytest.approx(expected)
    recipe = gst.Recipe(learning_rate=0.4, epochs=8, milestones=(4, 6), warmup_epochs=2)
    assert rates(recipe) == pytest.approx([0.4 / 3, 0.8 / 3, 0.4, 0.4, 0.04, 0.04, 0.004, 0.004])


def test_usual_milestones_follow_the_epochs_and_old_hashes_stay():
    assert gst.Recipe(epochs=10).milestones == (7, 9) and gst.Recipe(epochs=1).milestones == (1,)
    ten = gst.RunConfig().replace(epochs=10)
    assert ten.milestones == gst.RunConfig(recipe=gst.Recipe(), epochs=10).milestones == (7, 9)
    assert ten.replace(epochs=60).hash == gst.RunConfig().hash == gst.RunConfig(milestones=(40, 52)).hash
    assert gst.RunConfig(epochs=10, milestones=(40, 52)).milestones == (40, 52)
    assert ten.replace(milestones=(2,)).replace(epochs=20).milestones == (2,)
    assert gst.RunConfig.from_dict(ten.to_dict()) == ten
    assert eval(repr(ten), {"RunConfig": gst.RunConfig}) == ten


def test_momentum_has_no_meaning_for_adam_and_does_not_count():
    assert gst.RunConfig(momentum=0.5).hash == gst.RunConfig().hash
    sgd = gst.RunConfig(optimizer="sgd", momentum=0.5)
    assert sgd.hash != sgd.replace(momentum=0.9).hash


def test_milestones_have_no_meaning_for_cosine_and_do_not_count():
    config = OWN.replace(annealing="cosine")
    assert config.hash == config.replace(milestones=(2, 3), gamma=0.5).hash != OWN.hash


def test_gradients_are_clipped_to_their_norm():
    """A step of SGD is then no longer than learning rate times that norm."""
    lengths = []

    def watch(experiment):
        weights = lambda: torch.cat([p.detach().flatten() for p in experiment.model.parameters()])  # noqa: E731
        before = weights()
        while True:
            yield
            after = weights()
            lengths.append((after - before).norm().item())
            before = after

    config = OWN.replace(optimizer="sgd", momentum=0.0, learning_rate=0.1, clip_norm=0.5, epochs=2)
    experiment = gst.Experiment(config)
    steps = watch(experiment)
    experiment.run(callbacks=[lambda epoch, step: next(steps)])
    assert max(lengths) == pytest.approx(0.05, rel=1e-3)
