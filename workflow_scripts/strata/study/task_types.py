"""The types of task: what a label is, what a head outputs, and the loss it is trained with."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskType:
    """A row of the registry; jobs depend on the row of their task's type.

    Attributes
    ----------
    problem_type : str or None
        Transformers' name for its loss; None if the model class has only one.
    names_labels : bool
        Whether labels are named classes.
    continuous : bool
        Whether the label is a number and the head's one output is the prediction.
    compares_rows : bool
        Whether an example is several rows, each scored by the head, with a label that says which
        row is right.
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
