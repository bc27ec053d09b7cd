"""What batches cost: making one, what it adds to a drain, what others feel, and looking at one."""

from tests.bench.workloads import Contender, Workload

ALONE = Contender("jobs of their own", "jobd_peer")
IN_BATCH = Contender("the same in a batch", "jobd_peer", {"batch": True})
BATCH = Contender("jobd", "batch_peer")

BATCHES = (
    Workload("batch-drain", "Drain no-op jobs in and outside a batch, 4 workers (jobs/s)", "drain",
             "drain", "per_s", (ALONE, IN_BATCH), {"count": 100_000}, {"count": 5_000}),
    Workload("batch-create", "Put a batch in (items/s); others call meanwhile (ms at worst)",
             "alone", "create", "per_s", (BATCH,), {"count": 100_000}, {"count": 10_000}),
    Workload("batch-crowd", "The worst call of another producer meanwhile (ms)", "alone", "create",
             "other_max_ms", (BATCH,), {"count": 1_000_000}, less_is_better=True),
    Workload("batch-show", "`jobd batch show`, beyond the interpreter's start (ms)", "alone",
             "show", "show_ms", (BATCH,), {"count": 1_000_000}, {"count": 10_000},
             less_is_better=True),
)
