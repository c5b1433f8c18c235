"""Numbers and counts in sentences for a researcher."""

#: Numbers from this size on have an exponent.
LARGE = 1e6


def beside(limit: float, value: float) -> str:
    """The value with two decimals, or as many as show on which side of the limit it lies.

    A number of the size of a million is written with three digits and an exponent.
    """
    if abs(value) >= LARGE:
        return f"{value:.3g}"
    for decimals in range(2, 10):
        text = f"{value:.{decimals}f}"
        if value == limit or text != f"{limit:.{decimals}f}":
            return text
    return f"{value:.3g}"


def count_latents(count: int) -> str:
    """Such as `1 latent` and `2 latents`."""
    return f"{count} {'latent' if count == 1 else 'latents'}"
