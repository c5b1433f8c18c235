create database mlflow;
create database optuna;
