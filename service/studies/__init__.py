"""The broker of studies: asks, judges, tells. The only code that opens Optuna's database."""
