"""The paper's main task: chains of additions and multiplications in a finite field, with one end hidden."""

from selectimprove.tasks.chains import settings
from selectimprove.tasks.chains.demonstrations import ChainDemonstrations
from selectimprove.tasks.chains.documents import ChainDocuments
from selectimprove.tasks.chains.labels import ChainLabels
from selectimprove.tasks.chains.problems import ChainProblems
from selectimprove.tasks.interface import Task


class Chains(ChainProblems, ChainDemonstrations, ChainDocuments, ChainLabels, Task):
    """Evaluation and inversion problems: chains of additions and multiplications in a finite field."""

    Settings = settings.Settings
    Problems = settings.Problems
    Demonstrations = settings.Demonstrations
    Documents = settings.Documents
