"""How a batch is split. Planning and training share this function; keys cover it, since sums depend on the split."""


def split_batch(size: int, n_devices: int, device_batch_size: int | None) -> tuple[int, int] | None:
    """Split a batch evenly over devices, and each device's share over as few passes as `device_batch_size` allows.

    Returns the sequences per pass and the passes per step, or None if the batch cannot be split evenly.
    """
    share, rest = divmod(size, n_devices)
    per_pass = min(device_batch_size or share, share)
    if rest or share % per_pass:
        return None
    return per_pass, share // per_pass
