"""The types of tasks: what a label is, what a head puts out, what it is trained by."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskType:
    """A row of the registry; the jobs of its tasks depend on it by its name.

    Attributes
    ----------
    problem_type : what Transformers calls its loss; None where its model class has but one.
    names_labels : the labels are classes with names.
    continuous : the label is a number; the head's one output is the prediction.
    compares_rows : an example is several rows, of which the head scores each, and the label says
        which is right.
    """

    problem_type: str | None = None
    names_labels: bool = False
    continuous: bool = False
    compares_rows: bool = False


TASK_TYPES = {
    "classification": TaskType("single_label_classification", names_labels=True),
    "regression": TaskType("regression", continuous=True),
    "multiple-choice": TaskType(compares_rows=True),
}
