"""How long arrivals gather before the dispatcher's next commit."""

from jobd import clock
from jobd.daemon.hand import Hand
from jobd.daemon.wakeup import Wakeup

BETWEEN_COMMITS = 0.002
LULL = 0.001
"""Seconds; nobody who writes without pause waits so long after the commit before."""
FEW = 4
"""Claimed in one turn; where jobs put in more than these, that is a stream, too."""


class Pace:
    """When the next commit may come; times are monotonic."""

    def __init__(self, hand: Hand, wakeup: Wakeup) -> None:
        self._hand = hand
        self._wakeup = wakeup
        self.not_before = 0.0
        self._for_ours_alone = False
        """Whether the pause is for nobody but workers that have not reported yet."""

    def keep(self, *, asked: bool) -> None:
        """Wait until the next commit may come, which a handler has perhaps asked for."""
        left = self.left(clock.monotonic(), asked=asked)
        if left > 0:
            clock.pause(left)

    def left(self, now: float, *, asked: bool) -> float:
        """Seconds until the next commit may come. A handler that waits for its checkpoint does not
        wait for the ends of others."""
        return 0.0 if asked and self._for_ours_alone else self.not_before - now

    def put_off(self, until: float) -> None:
        """No commit before then, whoever asks."""
        self.not_before, self._for_ours_alone = until, False

    def committed(self, began: float, now: float, *, others_wrote: bool, claimed: int) -> None:
        """A turn that began then has committed now, and claimed so many jobs."""
        self._for_ours_alone = not others_wrote
        if not others_wrote:
            # More ends gather meanwhile, and no worker waits for us, or it has asked.
            self.not_before = began + min(BETWEEN_COMMITS, self._hand.lasts(began))
        elif self._is_stream(began, claimed):
            # Else producer and daemon would take turns with one job each, and a sync for each.
            self.not_before = now + BETWEEN_COMMITS
        else:
            self.not_before = now

    def _is_stream(self, began: float, claimed: int) -> bool:
        """Whether more may be on its way: not after a lull, nor when jobs have put in the next
        stage of what they do, for nothing comes of that before it has run."""
        after_a_lull = began - self.not_before > LULL
        return not after_a_lull and not (self._wakeup.by_a_job and claimed <= FEW)
