"""The broker of studies, which asks Optuna for points, judges the trials and reports results.

No other code opens Optuna's database.
"""
