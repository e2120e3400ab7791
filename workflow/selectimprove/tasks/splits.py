"""Splits by content: no problem can be in two, whatever was drawn for either."""

import hashlib


def split_of_content(content: str, split_shares: dict[str, float]) -> str:
    """Tell to which split some content belongs: a function of it alone, neither of a seed nor of a problem type.

    Parameters
    ----------
    content : str
        What two problems share that count as the same one.
    split_shares : dict of str to float
        Share of all content that each split owns, in order; the shares add up to 1.

    Returns
    -------
    str
        A key of `split_shares`.
    """
    position = int.from_bytes(hashlib.blake2b(content.encode(), digest_size=8).digest()) / 2**64
    for split, share in split_shares.items():
        position -= share
        if position < 0:
            return split
    return split
