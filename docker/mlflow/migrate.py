"""Brings the tables of MLflow's runs and of its users up to date. Host, user and password come from the environment."""

import mlflow.db
from mlflow.server.auth.db import cli as users

URI = "postgresql+psycopg://"


def main() -> None:
    mlflow.db.commands.main(["upgrade", URI], standalone_mode=False)
    users.commands.main(["upgrade", "--url", URI], standalone_mode=False)


main()
