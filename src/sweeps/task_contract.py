"""What a loaded task must offer before anything is trained on it."""

import inspect

from unrolled.tasks.base.task import Task


def check_task(task: Task) -> None:
    """Check that a loaded task has all that `Task` says it has.

    A task may be outside this package, so its class is not known to be complete.

    Raises:
        ValueError: for the first attribute or metric that is missing.
    """
    for name in inspect.get_annotations(Task):
        if not hasattr(task, name):
            raise ValueError(
                f"task._target_: expected a task with the attribute {name!r} after `load`, got "
                f"{type(task).__module__}.{type(task).__qualname__} without it. All attributes "
                "that a task must have are listed in unrolled.tasks.base.task.Task."
            )
    followed = [each.name for each in task.keras_metrics()]
    if followed and task.metric.key not in followed:
        raise ValueError(
            f"task._target_: expected `keras_metrics` to return a metric with the name "
            f"{task.metric.key!r}, the key of the task's metric, got {', '.join(followed)}."
        )
