"""Which latents are active, and what regime the whole latent space is in."""
