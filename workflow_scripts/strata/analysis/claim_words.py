"""What a study says about the papers' claims, one sentence each."""

from collections.abc import Iterator

import pandas as pd

from strata.analysis.claims import ABSENT, HOLDS


def claim_sentences(table: pd.DataFrame) -> Iterator[str]:
    """One sentence per claim, from ``claim_tables.claims_table``: paper, statement and verdicts.

    Verdicts are over tasks, by model; if a claim has several parts, the verdict on all of them
    comes first. Claims that are not in the study at all are named in one last sentence.
    """
    absent = []
    for number, rows in table[table["task"].isna()].groupby("claim", sort=False):
        parts = rows[~rows["whole"].astype(bool)]
        said = parts.drop_duplicates("part")
        lead = f"{number}, {said['paper'].iloc[0]}: {'; '.join(said['statement'])}"
        models = rows["model"].dropna().unique()
        if not len(models):
            absent.append(str(number))
            continue
        keys = said["claim"] + said["part"].fillna("")
        verdicts = [_verdict(model, rows[rows["model"] == model], keys) for model in models]
        yield f"{lead}. {'; '.join(verdicts)}."
    if absent:
        yield f"{ABSENT.capitalize()}: {', '.join(absent)}; the table says what each would take."


def _verdict(model: str, rows: pd.DataFrame, keys: pd.Series) -> str:
    """One model's verdict and, in brackets, in how many tasks it holds, or the parts' verdicts.

    Parameters
    ----------
    keys : Series
        The keys of all parts of the claim.
    """
    whole = rows[rows["whole"].astype(bool)]
    parts = rows[~rows["whole"].astype(bool)].to_dict("records")
    if whole.empty:
        return f"{model}: {parts[0]['verdict']}{_why(parts[0])}"
    told = {f"{row['claim']}{'' if pd.isna(row['part']) else row['part']}": row for row in parts}
    words = [f"{key} {row['verdict']}{_why(row)}" for key, row in told.items()]
    missing = [key for key in keys if key not in told and key in str(whole["note"].iloc[0])]
    if missing:
        words.append(f"{' and '.join(missing)} {ABSENT}")
    return f"{model}: {whole['verdict'].iloc[0]} ({'; '.join(words)})"


def _why(row: dict) -> str:
    """In how many tasks the claim holds, or what the study would need."""
    if pd.notna(row["what_it_takes"]):
        return f", it takes {row['what_it_takes']}"
    if pd.notna(row["tasks"]):
        tasks = f"in {row['tasks_hold']:.0f} of {row['tasks']:.0f} task{'s' * (row['tasks'] > 1)}"
        return f", {tasks}" if row["verdict"] == HOLDS else f", holds {tasks}"
    return f", {row['value']:z.2f} [{row['low']:z.2f}, {row['high']:z.2f}]"
