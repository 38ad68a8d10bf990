"""The metrics there are, and which tasks they fit."""

METRIC_TITLES = {
    "accuracy": "Accuracy",
    "f1": "F1",
    "accuracy-f1": "(Accuracy + F1) / 2",
    "mcc": "Matthews correlation",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "pearson-spearman": "(Pearson + Spearman) / 2",
}
METRICS_OF_TYPE = {
    "classification": ("accuracy", "f1", "accuracy-f1", "mcc"),
    "regression": ("pearson", "spearman", "pearson-spearman"),
    "multiple-choice": ("accuracy",),
}
