"""The schema's history, in order, by hand: each change is one class with `up` and `down`."""

from jobd.store.migrations.m001_create_job_queue import CreateJobQueue
from jobd.store.migrations.m002_add_failure_columns import AddFailureColumns
from jobd.store.migrations.m003_allow_nine_statuses import AllowNineStatuses
from jobd.store.migrations.m004_fence_attempts import FenceAttempts
from jobd.store.migrations.m005_keep_attempts import KeepAttempts
from jobd.store.migrations.m006_know_daemons import KnowDaemons
from jobd.store.migrations.m007_record_operators import RecordOperators
from jobd.store.migrations.m008_add_batches import AddBatches
from jobd.store.migrations.migration import Loss, Migration

MIGRATIONS: tuple[Migration, ...] = (
    CreateJobQueue(),
    AddFailureColumns(),
    AllowNineStatuses(),
    FenceAttempts(),
    KeepAttempts(),
    KnowDaemons(),
    RecordOperators(),
    AddBatches(),
)

__all__ = ["MIGRATIONS", "Loss", "Migration"]
