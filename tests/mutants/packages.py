"""Which tests guard which files: the packages, each with the tests that are its own."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent


class Package(NamedTuple):
    """Some files of the package, and the tests that must notice a fault in them.

    Attributes:
        files: patterns, relative to minigan/.
        tests: files in tests/; those that are likely to notice come first.
        but_not: patterns of files that belong to another package.
    """

    files: tuple[str, ...]
    tests: tuple[str, ...]
    but_not: tuple[str, ...] = ()

    def sources(self, root: Path) -> list[Path]:
        """The files in a checkout, in order."""
        package = root / "minigan"
        left_out = {path for pattern in self.but_not for path in package.glob(pattern)}
        found = {path for pattern in self.files for path in package.glob(pattern)}
        return sorted(found - left_out)


#: Only the tests of the package "cuda" need a C++ compiler.
PACKAGES = {
    "backend": Package(
        ("backend/*.py", "backend/numpy/*.py", "backend/cuda/errors.py"),
        (
            "test_words.py",
            "test_backend.py",
            "test_convolution.py",
            "test_batch_norm.py",
            "test_layer_norm.py",
            "test_random.py",
            "test_losses.py",
            "test_optim.py",
            "test_dropout.py",
            "test_defaults.py",
            "test_capture.py",
            "test_devices.py",
            "test_profile.py",
            "test_gradients.py",
        ),
    ),
    "nn": Package(
        ("nn/**/*.py", "config.py", "fixed.py"),
        (
            "test_layers.py",
            "test_image_layers.py",
            "test_image_errors.py",
            "test_batch_norm.py",
            "test_layer_norm.py",
            "test_condition.py",
            "test_split.py",
            "test_network.py",
            "test_configs.py",
            "test_gradcheck.py",
            "test_losses.py",
            "test_optim.py",
            "test_dropout.py",
            "test_defaults.py",
            "test_planted_faults.py",
            "test_planted_image_faults.py",
            "test_gradients.py",
            "test_kept.py",
            "test_additions.py",
            "test_training.py",
            "test_frames.py",
            "test_recorder.py",
        ),
    ),
    "gan": Package(
        ("gan/*.py",),
        (
            "test_gan.py",
            "test_conditional.py",
            "test_infogan.py",
            "test_consistency.py",
            "test_batch_norm.py",
            "test_configs.py",
            "test_losses.py",
            "test_summary.py",
            "test_capture.py",
            "test_kept.py",
            "test_additions.py",
            "test_defaults.py",
            "test_training.py",
        ),
    ),
    "data": Package(
        ("data/*.py",),
        (
            "test_data.py",
            "test_toys.py",
            "test_configs.py",
            "test_images.py",
            "test_idx.py",
            "test_download.py",
            "test_defaults.py",
        ),
    ),
    "evaluation": Package(
        ("evaluation/*.py",),
        (
            "test_evaluation.py",
            "test_figures.py",
            "test_forms.py",
            "test_pictures.py",
            "test_image_scores.py",
            "test_class_scores.py",
            "test_defaults.py",
        ),
    ),
    "training": Package(
        ("training/*.py", "files.py", "reading.py", "checks.py", "errors.py", "text.py"),
        (
            "test_text.py",
            "test_checks.py",
            "test_files.py",
            "test_run_folder.py",
            "test_history.py",
            "test_loop.py",
            "test_callbacks.py",
            "test_training.py",
            "test_resume_gan.py",
            "test_kept.py",
            "test_additions.py",
            "test_configs.py",
            "test_defaults.py",
            "test_threads.py",
            "test_profile.py",
            "test_health.py",
            "test_changes.py",
            "test_reliability.py",
            "test_hostile_checkpoints.py",
        ),
    ),
    "replay": Package(
        ("replay/*.py",),
        (
            *("test_cameras.py", "test_recorder.py", "test_scenes.py", "test_page.py"),
            *("test_film.py", "test_unusual_recordings.py"),
        ),
    ),
    "experiment": Package(
        ("experiment/*.py", "command_line.py"),
        (
            "test_command_line.py",
            "test_experiment.py",
            "test_defaults.py",
            "test_examples.py",
            "test_example_gaussian1d.py",
            "test_example_mnist.py",
            "test_changes.py",
        ),
    ),
    "parallel": Package(
        ("parallel/*.py",),
        ("test_parallel.py", "test_share.py", "test_workers.py", "test_mpi.py"),
    ),
    "sweeps": Package(("sweeps/*.py",), ("test_sweep.py", "test_sweep_processes.py")),
    "cuda": Package(("backend/cuda/*.py",), ("test_cuda_backend.py",), ("backend/cuda/errors.py",)),
    "lessons": Package(
        ("lessons/*.py",),
        (
            *("test_ninja.py", "test_explain.py", "test_explain_conditions.py"),
            "test_planted_faults.py",
        ),
    ),
    "cli": Package(
        ("cli/*.py",),
        (
            "test_cli.py",
            "test_sweep.py",
            "test_forms.py",
            "test_history.py",
            "test_devices.py",
            "test_profile.py",
            "test_ninja.py",
            "test_explain.py",
        ),
    ),
}
#: The packages that `make mutants` draws from.
USUAL = ("nn", "backend", "gan", "training", "data", "evaluation")
