"""Errors a person can cause: one sentence each with what was got, what was expected, what to do."""


class MetaSSLError(ValueError):
    """Base of every error whose message is meant to be read by the person at the window."""


class FileProblem(MetaSSLError):
    """A file cannot be read, shown right or written."""


class PairProblem(MetaSSLError):
    """A model pair does not fit its card, its weights or the data."""


class ProjectProblem(MetaSSLError):
    """A project folder, or what it was asked for, is not as it must be."""


class JobProblem(MetaSSLError):
    """A job cannot be started, or ended badly."""


class Cancelled(Exception):
    """The person stopped the work; nothing was changed."""
