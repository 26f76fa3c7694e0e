"""Mistakes in task.py, and in the files beside it."""

from benchmarks.newcomer_mistakes import in_data, in_files, in_loss, in_model, in_training

MISTAKES = [
    *in_files.READING,
    *in_files.PACKAGES,
    *in_model.MODEL,
    *in_data.DATA,
    *in_loss.LOSS,
    *in_training.TRAINING,
]
