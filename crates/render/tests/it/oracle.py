"""Renders charts with real Helm, for comparison.

Reads a list of cases as JSON from standard input, each {"chart": directory, "values": {...}, "name", "namespace"},
and writes a list of results: {"manifest", "notes", "error"}. A case with "template" renders that text as one more
template of the chart, and its result is {"text", "error"}. A case {"create": directory} makes the chart that
"helm create" makes, named "created", in that directory.
"""

import json
import os
import shutil
import sys
import tempfile

from helm_python import Chart, Config


def run(case):
    if "create" in case:
        Chart.create("created", case["create"])
        return {}
    if "template" in case:
        return render_text(case)
    result = {}
    try:
        chart = Chart.load(case["chart"])
    except Exception as error:  # The library's own exception types; all that matters is the text.
        return {"error": str(error)}
    try:
        config = Config(kubeconfig_content="", namespace=case["namespace"], storage_driver="memory")
        installed = config.install(
            chart, case["name"], case["values"], dry_run="client", namespace=case["namespace"]
        )
        result["manifest"] = installed["manifest"]
        result["notes"] = installed.get("notes", "")
    except Exception as error:
        result["error"] = str(error)
    return result


def render_text(case):
    """Renders a text as the notes of a copy of the chart."""
    with tempfile.TemporaryDirectory() as parent:
        directory = os.path.join(parent, "chart")
        shutil.copytree(case["chart"], directory)
        with open(os.path.join(directory, "templates", "NOTES.txt"), "w", encoding="utf-8") as file:
            file.write(case["template"])
        try:
            chart = Chart.load(directory)
            rendered = chart.render(
                case["values"],
                name=case["name"],
                namespace=case["namespace"],
                revision=1,
                is_install=True,
                is_upgrade=False,
            )
        except Exception as error:
            return {"error": str(error)}
        return {"text": rendered[f"{chart.name}/templates/NOTES.txt"]}


json.dump([run(case) for case in json.load(sys.stdin)], sys.stdout)
