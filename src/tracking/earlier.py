"""Converts runs that earlier versions of this project tracked to the current format.

Those versions stored names and messages without the underlying data. Only this module parses such
text.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from unrolled.tracking.failure import FAILURE, Failure
from unrolled.tracking.writing import BASELINES, SETTINGS

_RENAMED = {"guessing": "chance_level", "learnt": "solved", "share": "is_fraction"}
"""The attributes of a metric whose names have changed."""


def updated_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Returns the tags of a run or a sweep, with those that its version did not write."""
    tags = dict(tags)
    if SETTINGS not in tags and "variant" in tags:
        tags[SETTINGS] = json.dumps(_settings(tags["variant"]))
    if FAILURE not in tags and "error" in tags:
        diverged = tags["error"].startswith(("DivergedError", "FloatingPointError"))
        tags[FAILURE] = Failure.DIVERGED if diverged else Failure.ERROR
    if BASELINES not in tags and "baseline" in tags:
        names = re.split(r",(?! )", tags["baseline"])  # Within a list, a space follows each comma.
        tags[BASELINES] = json.dumps(names)
    return tags


def updated_report(report: Any) -> Any:
    """Returns the report of a run, with the keys that its version did not write."""
    if not isinstance(report, dict):
        return report
    report, judged = dict(report), report.get("judged", {})
    if isinstance(report.get("metric"), dict):
        report["metric"] = _updated_metric(report["metric"])
    if isinstance(report.get("breakdowns"), list):
        report["breakdowns"] = [_with_updated_metric(each) for each in report["breakdowns"]]
    if isinstance(report.get("breakdowns"), dict):
        metric = report.get("metric", {})
        report["breakdowns"] = [
            _breakdown(name, points, metric, judged)
            for name, points in report["breakdowns"].items()
        ]
    return report


def _settings(name: str) -> dict[str, str]:
    """Parses the name of a variant into its settings.

    >>> _settings("lstm T=50 match=units")
    {'cell': 'lstm', 'T': '50', 'match': 'units'}
    >>> _settings("gru losses=['late', 'own'] max=60 max=4")
    {'cell': 'gru', 'losses': "['late', 'own']", 'max': '60', '3.max': '4'}
    """
    settings = {}
    for index, word in enumerate(re.split(r" (?=\w+=)", name)):
        key, value = word.split("=", 1) if "=" in word else ("cell", word)
        # Names contain only the last part of each key, which may be ambiguous.
        settings[f"{index}.{key}" if key in settings else key] = value
    return settings


def _updated_metric(metric: Mapping[str, Any]) -> dict[str, Any]:
    metric = {_RENAMED.get(key, key): value for key, value in metric.items()}
    if "key" in metric or "name" not in metric:
        return metric
    key = metric["name"].lower().replace("-", "_").replace(" ", "_")
    return {"key": key, **metric}


def _with_updated_metric(breakdown: Mapping[str, Any]) -> dict[str, Any]:
    metric = breakdown.get("metric")
    return {**breakdown, "metric": _updated_metric(metric)} if metric else dict(breakdown)


def _breakdown(name: str, points: list, metric: Mapping, judged: Mapping) -> dict[str, Any]:
    what, _, by = name.partition(" by ")
    of: Mapping | None = metric
    if what != metric.get("name"):
        of = _updated_metric(judged[name]) if name in judged else None
    return {"what": what, "by": by, "metric": of, "points": points}
