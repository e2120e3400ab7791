"""The paper's second task: problems of several parts, each a chain that is given the answer of the part before."""

from selectimprove.tasks.compositions import settings
from selectimprove.tasks.compositions.documents import CompositionDocuments
from selectimprove.tasks.compositions.labels import CompositionLabels
from selectimprove.tasks.compositions.problems import CompositionProblems
from selectimprove.tasks.interface import Task


class Compositions(CompositionProblems, CompositionDocuments, CompositionLabels, Task):
    """Problems of several parts, each given the answer of the part before."""

    Settings = settings.Settings
    Problems = settings.Problems
    Demonstrations = settings.Demonstrations
    Documents = settings.Documents
