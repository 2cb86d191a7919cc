"""A Celery application whose broker is a folder, and whose worker's parent has used the session before it forks."""

import os

import celery
import flyte_auth
from telling import digest

folder = os.environ["BROKER"]
app = celery.Celery("celery_tasks", broker="filesystem://", backend=f"file://{folder}/results")
app.conf.broker_transport_options = {
    "data_folder_in": f"{folder}/in",
    "data_folder_out": f"{folder}/in",
    "control_folder": f"{folder}/control",
}
session = flyte_auth.Session.from_config()
session.status()


@app.task
def token():
    return {"pid": os.getpid(), "hash": digest(session.token())}
