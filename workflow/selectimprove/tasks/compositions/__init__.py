"""The paper's second task: problems of several parts, each a chain that is given the answer of the part before."""

from selectimprove.tasks.compositions import settings
from selectimprove.tasks.compositions.labels import CompositionLabels
from selectimprove.tasks.compositions.problems import CompositionTexts
from selectimprove.tasks.interface import Task


class Compositions(CompositionTexts, CompositionLabels, Task):
    """Problems of several parts, each given the answer of the part before."""

    Settings = settings.Settings
    Problems = settings.Problems
    Demonstrations = settings.Demonstrations
    Documents = settings.Documents
