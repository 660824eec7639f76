"""What can be wrong with a cluster's answer."""


class ClusterError(Exception):
    """A day cannot be had.

    The message says which cluster, what was asked and what came back, and ends with the cure. It holds no secret.
    """


class EmptyDayError(ClusterError):
    """The cluster answers, and has nothing for that day."""


class NotThereError(ClusterError):
    """No such route here: a 404, or a page for people where an API should be."""


class TryAgainError(Exception):
    """One attempt failed in a way that another may not. Never leaves this package.

    Args:
        problem: what came back, without secrets.
        cure: what to do when it keeps coming back.
        after_seconds: how long the server asks us to wait.
    """

    def __init__(self, problem: str, cure: str, after_seconds: float = 0.0) -> None:
        super().__init__(problem)
        self.problem, self.cure, self.after_seconds = problem, cure, after_seconds
