"""The whole story in one command: predict, build, try, break, heal, compare, report.

Each step adds what it saw to the report and states a claim about it. The demo is a success only
if every claim was seen.
"""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from ridgeline.app.check import read_spec
from ridgeline.app.demo_break import choose_victim, drain, fail_and_heal
from ridgeline.app.demo_look import (
    compare_with_prediction,
    fetch,
    resolve,
    traceroutes,
    who_answers_whom,
)
from ridgeline.app.demo_sessions import sessions
from ridgeline.app.internet import load_internet
from ridgeline.app.lab import bring_up
from ridgeline.app.predict import predict
from ridgeline.app.story import Demo, Tell
from ridgeline.errors import MachineError
from ridgeline.lab.control import LabClient, is_running, lab_directory, take_down
from ridgeline.spec.model import ServiceKind


def run_demo(spec_path: str, *, internet: str, tell: Tell) -> dict[str, Any]:
    """Tell the whole story and return the report (``ridgeline.report/1``).

    Raises
    ------
    InputError, MachineError
        The lab could not be built at all; what fails later is a claim that was not seen.
    """
    begun = time.monotonic()
    spec = read_spec(spec_path)
    if all(service.kind is ServiceKind.CUSTOM for service in spec.services):
        raise MachineError(
            f"{spec.file} has no service that could be tried",
            hint="add a service such as `dns: {kind: authoritative-dns, ...}` to the spec",
        )
    name = f"demo-{os.getpid()}"
    demo = Demo(spec=spec, internet=load_internet(internet), tell=tell, lab=LabClient(name))
    demo.report = {
        "schema": "ridgeline.report/1",
        "network": spec.network,
        "asn": spec.asn,
        "prefixes": [str(prefix) for prefix in spec.prefixes],
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "system": f"{platform.system()} {platform.release()}",
            "processors": os.cpu_count(),
            "python": platform.python_version(),
            "user": "root" if os.geteuid() == 0 else "ordinary",
        },
        "claims": [],
    }
    tell("predicting where clients will land")
    prediction = predict(spec, demo.internet, planned=False)
    with _lab(spec_path, internet, name, demo):
        who_answers_whom(demo, prediction)
        compare_with_prediction(demo, prediction)
        traceroutes(demo)
        resolve(demo)
        fetch(demo)
        victim = choose_victim(demo)
        fail_and_heal(demo, victim)
        drain(demo, victim)
        sessions(demo, victim)
    demo.claim(
        "Nothing is left behind: no process, namespace or interface",
        not is_running(lab_directory(name)),
        "the lab's PID namespace is gone",
    )
    demo.report["seconds"] = round(time.monotonic() - begun, 1)
    return demo.report


@contextmanager
def _lab(spec_path: str, internet: str, name: str, demo: Demo) -> Iterator[None]:
    demo.tell("lab: building")
    summary = bring_up(spec_path, internet=internet, name=name, progress=demo.tell)
    demo.report["internet"] = {
        "name": demo.internet.name,
        "ases": summary["ases"],
        "routers": summary["routers"],
        "links": summary["links"],
        "delay": summary["delay"],
        "ready_s": summary["ready_s"],
    }
    demo.claim(
        "The network is up and its routing quiet",
        summary["ready_s"] > 0,
        f"{summary['routers']} BIRD routers, {summary['links']} links, {summary['ready_s']:.1f} s",
    )
    try:
        yield
    finally:
        demo.tell("taking the lab down")
        take_down(name)
