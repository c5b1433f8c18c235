"""`python -m polar`: the `polar` command."""

from polar_latents import main

if __name__ == "__main__":
    main()
