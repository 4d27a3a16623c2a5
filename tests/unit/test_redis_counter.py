"""Counter of rate limits in Redis, with the replies of a server that loses data."""

from modelgate.flow import drive
from modelgate.limiting import Rate
from modelgate.limiting.shared_limiter import RedisCounter


class LosingServer:
    """Runner of scripts and circuit breaker. The server has lost the first charge when the second arrives.

    While the loss is reported, *other_thread* is called.
    """

    def __init__(self):
        self.breaker = self
        self.replies = [(b"1", b"0.0"), (b"1", b"30.0"), (b"0", b"30.0")]
        self.other_thread = None

    def run(self, script, key, *args):
        yield from ()
        allowed, start = self.replies.pop(0)
        return [allowed, b"31.5", b"9", start, b"1"]

    def report_data_loss(self):
        call, self.other_thread = self.other_thread, None
        if call is not None:
            call()


def test_two_threads_may_notice_the_same_loss_of_data():
    server = LosingServer()
    counter, rate = RedisCounter(server, "limit"), Rate.parse("10/minute")
    decisions = [drive(counter.hit(rate, "caller", 1))]
    server.other_thread = lambda: decisions.append(drive(counter.hit(rate, "caller", 1)))
    decisions.append(drive(counter.hit(rate, "caller", 1)))

    assert [True, False, True] == [decision.allowed for decision in decisions]
