"""Whether every acknowledged job is there, once, and came to its end."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.torture.evidence import ENDED, Evidence, Line
from tests.torture.journal import BEGAN


def nothing_is_lost(e: Evidence) -> Iterator[str]:
    """Every id that was acknowledged is there, and is the job that was ordered."""
    for ack in e.told("ack"):
        row = e.jobs.get(ack["id"])
        if row is None:
            yield f"job {ack['id']} ({ack['tag']}) was acknowledged and does not exist"
        elif ack["created"] and row.tag != ack["tag"]:
            yield f"job {row.id} was acknowledged as {ack['tag']} and is {row.tag}"


def nothing_is_invented(e: Evidence) -> Iterator[str]:
    """Every job was ordered, or enqueued by a job that completed; none is there twice."""
    meant = {line["tag"] for line in e.told("intent")}
    for tag, count in Counter(row.tag for row in e.jobs.values()).items():
        if count > 1:
            yield f"{tag} was ordered once and is there {count} times"
        if not tag.startswith("child:") and tag not in meant:
            yield f"{tag} was never ordered"


def every_job_ends(e: Evidence) -> Iterator[str]:
    """After the calm each job is in one of the four end statuses, and nothing of it executes."""
    for text in e.unsettled:
        yield f"not settled within the time: {text}"
    for row in e.jobs.values():
        if row.status not in ENDED:
            yield f"job {row.id} is {row.status}"
        elif not row.execution_over:
            yield f"job {row.id} is {row.status} and is said to execute"


def a_transaction_is_whole(e: Evidence) -> Iterator[str]:
    """Of jobs that were enqueued in one call all are there or none."""
    there = {row.tag for row in e.jobs.values()}
    calls = defaultdict(set)
    for line in e.told("intent"):
        stem, _, _ = line["tag"].rpartition(".")
        if stem.count("."):
            calls[stem].add(line["tag"])
    for tags in calls.values():
        found = tags & there
        if found and found != tags:
            yield f"of one call only {sorted(found)} of {sorted(tags)} are there"


def children_come_with_success(e: Evidence) -> Iterator[str]:
    """What a handler enqueued exists exactly when its job completed."""
    children = Counter(
        int(row.tag.split(":")[1]) for row in e.jobs.values() if row.tag.startswith("child:")
    )
    for row in e.jobs.values():
        if row.job_type == "parent":
            wanted = 2 if row.status == "completed" else 0
            if children.pop(row.id, 0) != wanted:
                yield f"job {row.id} is {row.status}, but has not {wanted} children"
    for job_id in children:
        yield f"there are children of job {job_id}, which is no parent"


def a_key_is_held_once(e: Evidence) -> Iterator[str]:
    """Of live jobs with one unique key there is one; who asks meanwhile is told its id."""
    for line in e.seen:
        if "two live with" in line:
            yield f"live at the same time with {line['two live with']}: {line['ids']}"
    revived = {line["id"] for line in e.told("asking") if line["verb"] == "retry"}
    last_start = {note.job_id: note.at for note in e.noted(BEGAN)}
    made = [ack for ack in e.told("ack") if ack["unique_key"] and ack["created"]]
    for one in made:
        for other in made:
            same = one["unique_key"] == other["unique_key"] and one["id"] != other["id"]
            if (same and one["at"] < other["called"] and one["id"] not in revived
                    and last_start.get(one["id"], 0) > other["at"]):
                yield (f"job {other['id']} was made with {one['unique_key']} while job "
                       f"{one['id']} was live")


def a_request_is_one_job(e: Evidence) -> Iterator[str]:
    """Repeating a call with its request id returns the same job."""
    by_request = defaultdict(set)
    for ack in e.told("ack"):
        if ack["request_id"] and not _is_of_its_key(e, ack):
            by_request[ack["request_id"]].add(ack["id"])
    for row in e.jobs.values():
        if row.request_id:
            by_request[row.request_id].add(row.id)
    for request_id, ids in by_request.items():
        if len(ids) > 1:
            yield f"request {request_id} became the jobs {sorted(ids)}"


def _is_of_its_key(e: Evidence, ack: Line) -> bool:
    """With a unique key as well a call may get that key's holder: not the job of its request."""
    answered = e.jobs.get(ack["id"])
    key = ack["unique_key"]
    return bool(key and not ack["created"] and answered and answered.unique_key == key
                and answered.request_id != ack["request_id"])


def cancelled_means_asked(e: Evidence) -> Iterator[str]:
    """A job is cancelled only if somebody asked; if it was said to be so at once, it is."""
    asked = {line["id"] for line in e.told("asking") if line["verb"] == "cancel"}
    retried = {line["id"] for line in e.told("asking") if line["verb"] == "retry"}
    for row in e.jobs.values():
        if row.status == "cancelled" and row.id not in asked:
            yield f"job {row.id} is cancelled, and nobody asked for that"
    at_once = {"pending", "retrying", "dead_letter"}
    for line in e.told("request"):
        if (line["verb"], line["changed"]) != ("cancel", True) or line["status"] not in at_once:
            continue
        if line["id"] not in e.jobs or line["id"] in retried:
            continue
        row = e.jobs[line["id"]]
        if row.status != "cancelled":
            yield f"job {row.id} was cancelled while {line['status']}, and is {row.status}"
        if any(n.job_id == row.id and n.at > line["at"] for n in e.noted(BEGAN)):
            yield f"job {row.id} was cancelled while {line['status']}, and started afterwards"


def nothing_goes_back(e: Evidence) -> Iterator[str]:
    """While it went on, no attempt number fell, no completed job left its status, none vanished."""
    for line in e.seen:
        if "two live with" not in line:
            yield str(line)


def counts_add_up(e: Evidence) -> Iterator[str]:
    """`jobd status` counts every job once."""
    found = Counter(row.status for row in e.jobs.values())
    said = {status: count for status, count in e.counts.items() if count}
    if not e.unsettled and said != dict(found):
        yield f"`jobd status` says {e.counts}, the rows say {dict(found)}"


def batches_count_truly(e: Evidence) -> Iterator[str]:
    """The counters of each batch are what a count of its items says."""
    for batch in e.batches:
        for what in ("total", "successful", "failed", "cancelled"):
            told, counted = batch[f"{what}_items"], batch[f"counted_{what}"]
            if told != counted:
                yield f"batch {batch['name']} says {told} {what} items, and there are {counted}"


def every_batch_ends(e: Evidence) -> Iterator[str]:
    """A batch ends with its last item; what its maker never sealed is gone."""
    for batch in e.batches:
        if not e.unsettled and (batch["status"] != "completed" or not batch["sealed_at"]):
            yield f"batch {batch['name']} is {batch['status']}, sealed at {batch['sealed_at']}"


CHECKS = (
    nothing_is_lost, nothing_is_invented, every_job_ends, a_transaction_is_whole,
    children_come_with_success, a_key_is_held_once, a_request_is_one_job, cancelled_means_asked,
    nothing_goes_back, counts_add_up, batches_count_truly, every_batch_ends,
)
