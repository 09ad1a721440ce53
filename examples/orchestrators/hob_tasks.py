"""Functions of a pool as tasks of an orchestrator: plain callables, which need hob's Python package, HOB_URL and HOB_TOKEN, and nothing else.

Airflow:

    from airflow.providers.standard.operators.python import PythonOperator
    from hob_tasks import call, each

    PythonOperator(task_id="embed", python_callable=call, op_args=["images", "embed"], op_kwargs={"path": "{{ ds }}.png"})
    PythonOperator(task_id="embed_all", python_callable=each, op_args=["images", "embed", ["a.png", "b.png"]])

Prefect:

    from prefect import flow, task
    from hob_tasks import call, each

    embed = task(call, name="embed", retries=2)

    @flow
    def pictures(paths: list[str]):
        return [embed.submit("images", "embed", path=path) for path in paths]

What is called is what `hob deploy` has promoted; `version=3` in `Function.from_name` is a certain deployment. A task that its orchestrator
ends (Airflow's on_kill, a cancelled flow run: both raise in it) cancels its call; one that is killed with -9 leaves it running.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import hob


def call(app: str, function: str, *args: Any, **kwargs: Any) -> Any:
    """One call, and its result: JSON, which both orchestrators keep between tasks. A call that fails raises hob.RemoteError."""
    running = hob.Function.from_name(app, function).spawn(*args, **kwargs)
    try:
        return running.get()
    except hob.RemoteError:
        raise
    except BaseException:
        running.cancel()
        raise


def each(app: str, function: str, inputs: Iterable[Any]) -> list[Any]:
    """The result of each input, in order: one map, spread over the pool."""
    return list(hob.Function.from_name(app, function).map(inputs))
