"""What the base model reads of rewritten chains: the documents of chains, written as the settings say."""

import random
from dataclasses import replace

from selectimprove.tasks.chains.documents import ChainDocuments
from selectimprove.tasks.chains.problems import QUESTIONS
from selectimprove.tasks.interface import Document
from selectimprove.tasks.rewritten_chains.demonstrations import without_direction
from selectimprove.tasks.rewritten_chains.problems import place_question
from selectimprove.tasks.rewritten_chains.settings import Documents, Settings


def rewrite(settings: Settings, document: Document) -> Document:
    """Write a document of chains as the settings say; drills have no prompt and stay."""
    if not document.prompt:
        return document
    response = document.response if settings.direction_words else without_direction(document.response)
    return replace(document, prompt=place_question(document.prompt, settings.question), response=response)


class RewrittenDocuments(ChainDocuments):
    """Documents of chains, written as the settings say."""

    def vocabulary(self, settings: Settings) -> list[str]:
        """List the tokens of chains; those that begin a prompt have no space before them."""
        tokens = super().vocabulary(settings)
        if settings.question == "last":
            return tokens
        questions = QUESTIONS.values()
        return [" start", *questions, *(token for token in tokens if token.strip() not in ("start", *questions))]

    def draw_documents(
        self, settings: Settings, documents: Documents, batch_size: int, rng: random.Random
    ) -> list[Document]:
        drawn = super().draw_documents(settings, documents, batch_size, rng)
        return [rewrite(settings, document) for document in drawn]
