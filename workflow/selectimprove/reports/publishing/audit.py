"""Publish the audit: copies of the verdicts, and the page.

Snakemake runs this as ``python -m selectimprove.reports.publishing.audit`` with the params of its plan, so that what is edited meanwhile
is not published under today's name.
"""

import argparse
import shutil
import sys

from selectimprove.artifacts.locking import lock_folder
from selectimprove.artifacts.provenance import require_intact
from selectimprove.artifacts.writing import drop_temporaries, replace
from selectimprove.config.params import Params
from selectimprove.dag.artifact import RESULTS, collect_ancestors
from selectimprove.dag.plan import Plan
from selectimprove.reports.page import write_page
from selectimprove.reports.publishing.publications import audit_publication
from selectimprove.reports.publishing.records import write_record
from selectimprove.types import ParamsError


def publish_audit(plan: Plan, key: str) -> None:
    """Copy the verdicts, write the page, and record that.

    Raises
    ------
    ParamsError
        If the code now makes something else than what was planned under `key`, or what the page shows is damaged.
    """
    audit = audit_publication(plan)
    if audit.key != key:
        raise ParamsError("audit: the code was edited after this run was planned; repeat the command, which plans anew")
    require_intact(artifact.folder for artifact in collect_ancestors(audit.artifacts))
    page = write_page(plan)
    audit.record.parent.mkdir(parents=True, exist_ok=True)
    with lock_folder(audit.record.parent):
        drop_temporaries([*audit.files, audit.record])
        for target, source in audit.copies.items():
            replace(target, lambda temporary, source=source: shutil.copyfile(source, temporary))
        for target in audit.composed:
            replace(target, lambda temporary: temporary.write_text(page, encoding="utf-8"))
        write_record(audit.record, key, audit.files, [artifact.folder for artifact in audit.artifacts], RESULTS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", required=True, help="as JSON")
    parser.add_argument("--key", required=True)
    options = parser.parse_args()
    try:
        publish_audit(Plan(Params.model_validate_json(options.params)), options.key)
    except ParamsError as error:
        sys.exit(str(error))
