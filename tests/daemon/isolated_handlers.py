"""The handlers of test_isolation.py: what a job may do in, and to, a process of its own."""

HANDLERS = r"""
import asyncio, ctypes

# The second as a C library forks: no hook of Python's is called.
FORKS = {"forks": os.fork, "forks in C": ctypes.PyDLL(None).fork}

@job("tells")
def tells():
    me = jobd.current_job()
    me.log.debug("too quiet for this log")
    me.log.bind(bound=1).warning("half way", rows=3, path=ROOT, worker="mine")
    try:
        1 / 0
    except ZeroDivisionError:
        me.log.exception("caught %s", "it")
    return {"id": me.id, "attempt": me.attempt, "type": me.job_type, "queue": me.queue,
            "stopping": me.stopping.is_set(), "reason": me.stopping.reason,
            "last": me.last_checkpoint, "main": threading.current_thread().name, "pid": os.getpid(),
            "parent": os.getppid()}

@job("awaits")
async def awaits(seconds: float):
    say("awaiting")
    await asyncio.sleep(seconds)
    return jobd.current_job().id

@job("progresses")
def progresses(gate: str):
    me = jobd.current_job()
    for done in range(1000):
        me.progress(done, 1000, "first pass")
    me.progress(999.5, 1000, "nearly")
    say("said")
    wait_at(gate)

@job("keeps")
def keeps():
    me = jobd.current_job()
    state = me.last_checkpoint or {"done": 0}
    note("found", str(state["done"]))
    for done in range(state["done"] + 1, 6):
        me.checkpoint({"done": done})
        if done == 3 and first_time("broken"):
            os.kill(os.getpid(), signal.SIGKILL)
    return me.last_checkpoint

@job("keeps_what_is_not_json")
def keeps_what_is_not_json():
    try:
        jobd.current_job().checkpoint({"bad": object()})
    except jobd.errors.BadInput as error:
        return str(error)

@job("hands_on")
def hands_on(how: str = "returns"):
    me = jobd.current_job()
    me.enqueue("quick", {"n": 1})
    me.enqueue("quick", {"n": 2}, priority=5, queue="media", isolation="thread")
    if how == "raises":
        raise ValueError("after all")
    if how == "dies":
        os._exit(1)

@job("runs")
def runs():
    done = jobd.current_job().run(["sh", "-c", "echo $JOBD_ATTEMPT; echo $EXTRA >&2"],
                                  env={"EXTRA": "given"})
    return [done.returncode, done.stdout.decode(), done.stderr.decode()]

@job("runs_long")
def runs_long(script: str):
    say("begun")
    jobd.current_job().run(["sh", "-c", script])

@job("starts_behind_our_back")
def starts_behind_our_back():
    import subprocess
    say("begun")
    subprocess.run(["sh", "-c", f"echo $$ >{ROOT}/program; sleep 60; true"])

@job("heeds")
def heeds(how: str):
    me = jobd.current_job()
    say("begun")
    if how == "sleep":
        me.sleep(60)
    while how == "check":
        me.check()
        time.sleep(0.005)
    while how == "looks":
        if me.stopping.is_set():
            (ROOT / "reason").write_text(str(me.stopping.reason))
            return "saw it"
    try:
        if how == "spins":
            while True:
                pass
        time.sleep(1e6)
    finally:
        (ROOT / "reason").write_text(str(me.stopping.reason))

@job("tidies")
def tidies(number: int):
    try:
        (ROOT / f"began-{number}").touch()
        jobd.current_job().sleep(60)
    finally:
        for _ in range(30):
            time.sleep(0.005)
        (ROOT / f"tidied-{number}").touch()

@job("forks")
def forks(number: int):
    try:
        (ROOT / f"began-{number}").touch()
        while True:
            child = os.fork()
            if not child:
                os._exit(0)
            os.waitpid(child, 0)
    finally:
        (ROOT / f"tidied-{number}").touch()

@job("checks")
def checks(number: int):
    def lines():
        try:
            while True:
                yield
        finally:
            jobd.current_job().check()  # raised while the loop is left, and ignored there
    try:
        (ROOT / f"began-{number}").touch()
        for _ in lines():
            time.sleep(0.01)
    finally:
        for _ in range(30):
            time.sleep(0.005)
        (ROOT / f"tidied-{number}").touch()

def hook(what):
    (ROOT / "hooked").touch()

sys.unraisablehook = hook

@job("drops")
def drops():
    class Bad:
        def __del__(self):
            raise ValueError
    Bad()

@job("is_rung")
def is_rung():
    class Ring(Exception):
        pass
    def ring(number, frame):
        while frame is not None and frame.f_code is not forks_and_waits.__code__:
            frame = frame.f_back
        if frame is not None:
            raise Ring
    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.005)
    end = time.monotonic() + 1
    while time.monotonic() < end:
        try:
            forks_and_waits(end)
        except Ring:
            pass
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))

def forks_and_waits(end):
    while time.monotonic() < end:
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)

@job("will_not")
def will_not():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say("begun")
    while True:
        try:
            time.sleep(1e6)
        except BaseException:
            pass

@job("dies")
def dies(how: str):
    say("begun")
    if how == "segfault":
        ctypes.string_at(0)
    if how == "exits":
        os._exit(3)
    if how == "sys.exit":
        sys.exit(3)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "terminated":
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    if how == "aborts":
        os.abort()
    if how == "closes":
        os.closerange(3, 256)
    if how == "babbles":
        for number in range(3, 100):
            try:
                os.write(number, b"\0\0\0\4[1,2")
            except OSError:
                pass
        time.sleep(60)
    if how in FORKS:
        child = FORKS[how]()
        if child == 0:
            return "from the fork"
        os.waitpid(child, 0)
    return "alive"

@job("returns")
def returns(what: str = "fine"):
    return {"fine": 1, "bad": {1, 2}, "nan": float("nan")}[what]

@job("raises")
def raises(how: str):
    if how == "retry":
        raise jobd.Retry("later", after=0.05, failure_type="network")
    if how == "fail":
        raise jobd.Fail("never", failure_type="permission")
    if how == "snooze":
        if jobd.current_job().attempt == 1:
            raise jobd.Snooze(0.05)
        return "awake"
    raise ConnectionResetError("as the table says")

@job("messes")
def messes():
    found = [os.getcwd() != "/", signal.getsignal(signal.SIGTERM) is signal.SIG_IGN]
    print("printed by a handler", flush=True)
    print('{"event": "forged"}')
    os.chdir("/")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return found

@job("environment")
def environment():
    mine = {k: v for k, v in os.environ.items()
            if k.startswith(("JOBD_", "NOTIFY_", "WATCHDOG_", "LISTEN_"))}
    first = open("/proc/self/environ").read().split("\0")
    return {"mine": mine, "owner": [v for v in first if v.startswith("JOBD_OWNER=")],
            "stdin": os.readlink("/proc/self/fd/0")}

@job("where", isolation="thread")
def where():
    return os.getpid()

@job("where_not_said")
def where_not_said():
    return os.getpid()

@job("noop")
def noop(n: int):
    return n
"""
