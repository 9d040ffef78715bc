"""Scores -> what a person reads. One module a kind of report.

`leaderboard` has a row a run, `comparison` says how runs differ and `comparison_markdown` writes
that down, `html` is one page with every case, `model_card` what a hub shows of a model.
"""
