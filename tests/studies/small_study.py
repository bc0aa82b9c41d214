"""A study that takes seconds, for the tests of the engine and of the command line."""

import signal

import gst_tutorial as gst

QUICK = gst.RunConfig(n_train=100, n_test=100, schedule=gst.PruneSchedule(0, 1, 1)).replace(
    epochs=3, batch_size=50, milestones=()
)


def study(n_seeds=3, **changes):
    """Four methods and `n_seeds` seeds; a run takes about a tenth of a second."""
    arms = [
        gst.Arm(QUICK, {"method": "none"}),
        gst.Arm(QUICK.replace(intervention="prune", schedule="init"), {"method": "prune at init"}, "init"),
        *(
            gst.Arm(QUICK.replace(intervention="prune", target=target), {"target": target})
            for target in ("smallest", "largest")
        ),
    ]
    return gst.Study("quick", "Does the engine work?", arms, range(n_seeds)).replace(**changes)


def hear_ctrl_c() -> None:
    """For `subprocess.Popen(preexec_fn=...)`: as in a terminal, also where a shell runs the tests in its background.

    What a shell starts in the background ignores Ctrl-C, and so does everything that this starts in turn.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
