"""Python that a model wrote, run against assertions: in a process of its own, with limits.

What: two seconds of CPU, 512 MB, no files written, no other process, no environment, an empty folder; an
audit hook refuses files outside Python's own, sockets and processes. That keeps off what a model writes by
mistake. It is no wall against code that is made to break out of it: none is run unless the recipe asks.

Cost: 50 ms.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence

SECONDS = 5  # of waiting
END = "all tests passed"
RUNNER = """
import builtins, json, resource, sys
given = json.load(sys.stdin)
for name, most in (("CPU", 2), ("AS", 2**29), ("FSIZE", 0), ("NPROC", 0), ("NOFILE", 32)):
    resource.setrlimit(getattr(resource, "RLIMIT_" + name), (most, most))
roots = tuple(p for p in sys.path if p)
refused = ("socket.", "subprocess.", "ctypes.", "os.", "shutil.", "pty.", "signal.")
harmless = ("os.listdir", "os.scandir")
def hook(event, args):
    if event == "open":
        path, mode, flags = args
        own = isinstance(path, str) and path.startswith(roots) and not (mode and set(mode) & set("wax+"))
        if own:
            return
    elif event in harmless or not event.startswith(refused):
        return
    raise PermissionError(event)
names = {"__name__": "answer"}
sys.addaudithook(hook)
sys.stdout = sys.stderr = None
exec(compile(given["code"], "answer", "exec"), names)
for line in given["tests"]:
    exec(compile(line, "test", "exec"), names)
sys.__stdout__.write(given["end"])
sys.__stdout__.flush()
"""


def passes(code: str, tests: Sequence[str]) -> bool:
    """Whether `code` runs and every one of `tests`, statements such as assertions, after it."""
    given = json.dumps({"code": code, "tests": list(tests), "end": END})
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(  # noqa: S603 - that is what it is for; see above
                [sys.executable, "-I", "-S", "-c", RUNNER],
                input=given.encode(errors="surrogatepass"),
                capture_output=True,
                timeout=SECONDS,
                cwd=folder,
                env={},
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0 and done.stdout.decode(errors="replace") == END
